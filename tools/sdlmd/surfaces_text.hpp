// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's debug files of one lockspace, as text: what fs/dlm shows below /sys/kernel/debug/dlm and dlm_tool reads.
// The field order is a fact of that interface. All locks shown are this node's own, so every nodeid and remid is 0.
#pragma once
#include <span>
#include <string>

#include "disk/base/instant.hpp"
#include "locks/dlm/lockspace.hpp"

namespace sdlm::tools {

// NAME_locks: a header line; a line for each lock.
std::string locks_text(std::span<const dlm::LockRow> rows);
// NAME_all: a version line; an rsb line for each resource, its lvb line if it has a value, its lkb lines.
std::string all_text(std::span<const dlm::ResourceRow> rows, std::span<const dlm::WaiterRow> waiters, Instant now);
// NAME_waiters: a line for each lock whose answer depends on other nodes.
std::string waiters_text(std::span<const dlm::WaiterRow> rows);
// NAME_toss: resources kept without locks; the version line only, they have no place in it here.
std::string toss_text();

}  // namespace sdlm::tools
