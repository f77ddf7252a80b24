// SPDX-License-Identifier: LGPL-2.1-or-later
// The text form of dump().
#pragma once
#include <ostream>
#include <string>

#include "tools/common/dump_volume.hpp"

namespace sdlm::tools {

void print_volume(std::ostream& out, const disk::BlockDevice& device, const VolumeDump& volume);
void print_slot(std::ostream& out, const SlotDump& slot);
void print_page(std::ostream& out, const PageDump& page);
void print_free_slots(std::ostream& out, NodeIndex first, NodeIndex last);

}  // namespace sdlm::tools
