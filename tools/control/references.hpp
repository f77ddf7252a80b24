// SPDX-License-Identifier: LGPL-2.1-or-later
// Who needs the daemon: services started through sdlm_hb_ctl and mounts ("mount:DIR"). A name is counted, so a
// service that started twice must stop twice. When the last one goes, a daemon that had any is no longer needed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "disk/base/result.hpp"

namespace sdlm::tools {

inline constexpr std::size_t reference_name_max = 1024;    // bytes; a mount directory must fit
inline constexpr std::size_t reference_names_max = 64;     // different names of one daemon

class References {
public:
    // bad_argument: empty, too long or with control characters; no_space: too many names.
    Result<void> add(const std::string& name);
    // not_found: no such reference.
    Result<void> remove(const std::string& name);
    std::uint64_t total() const;
    bool empty() const { return counts_.empty(); }
    const std::map<std::string, std::uint32_t>& counts() const { return counts_; }

private:
    std::map<std::string, std::uint32_t> counts_;
};

}  // namespace sdlm::tools
