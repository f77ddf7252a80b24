// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/client_policy.hpp"

#include "disk/base/assert.hpp"

namespace sdlm::tools {

const char* text(ClientPolicy policy) noexcept {
    switch (policy) {
        case ClientPolicy::notify: return "notify";
        case ClientPolicy::kill: return "kill";
        case ClientPolicy::reset: return "reset";
    }
    SDLM_UNREACHABLE();
}

bool parse(std::string_view word, ClientPolicy& out) noexcept {
    for (const ClientPolicy policy : {ClientPolicy::notify, ClientPolicy::kill, ClientPolicy::reset}) {
        if (word != text(policy)) continue;
        out = policy;
        return true;
    }
    return false;
}

}  // namespace sdlm::tools
