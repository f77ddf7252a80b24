// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/control/references.hpp"

#include "tools/common/escape.hpp"

namespace sdlm::tools {

Result<void> References::add(const std::string& name) {
    if (name.empty() || name.size() > reference_name_max || escaped(name) != name) {
        return Error{.code = Errc::bad_argument, .field = "reference name"};
    }
    const auto found = counts_.find(name);
    if (found == counts_.end() && counts_.size() == reference_names_max) {
        return Error{.code = Errc::no_space, .field = "reference table"};
    }
    std::uint32_t& count = counts_[name];
    if (count == UINT32_MAX) return Error{.code = Errc::no_space, .field = "reference count"};
    ++count;
    return {};
}

Result<void> References::remove(const std::string& name) {
    const auto found = counts_.find(name);
    if (found == counts_.end()) return Error{.code = Errc::not_found, .field = "reference name"};
    if (--found->second == 0) counts_.erase(found);
    return {};
}

std::uint64_t References::total() const {
    std::uint64_t sum = 0;
    for (const auto& [name, count] : counts_) sum += count;
    return sum;
}

}  // namespace sdlm::tools
