// SPDX-License-Identifier: LGPL-2.1-or-later
// The JSON form of dump(); names are escaped as in the text form.
#pragma once
#include <nlohmann/json.hpp>

#include "tools/common/dump_volume.hpp"

namespace sdlm::tools {

nlohmann::json volume_json(const disk::BlockDevice& device, const VolumeDump& volume);
nlohmann::json slot_json(const SlotDump& slot);
nlohmann::json page_json(const PageDump& page);

// Names of the flags that are set, in one order for both forms of the dump.
std::vector<std::string> flag_names(const disk::LockRecord& lock);
const char* phase_text(disk::Phase phase);
const char* end_text(disk::PreviousEnd end);

}  // namespace sdlm::tools
