// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/core/mode.hpp"

namespace sdlm::locks {

const char* text(Mode m) noexcept {
    switch (m) {
        case Mode::NL: return "NL";
        case Mode::CR: return "CR";
        case Mode::CW: return "CW";
        case Mode::PR: return "PR";
        case Mode::PW: return "PW";
        case Mode::EX: return "EX";
    }
    return "??";
}

}  // namespace sdlm::locks
