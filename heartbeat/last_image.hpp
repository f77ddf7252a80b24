// SPDX-License-Identifier: LGPL-2.1-or-later
// The last image of a life whose process has died before it could write one: its slot as it lies on the disk, turned
// into `fenced`. Written by the guardian of the same host, and only by it. see heartbeat/PROTOCOL.md §4a
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "disk/base/ids.hpp"
#include "disk/base/result.hpp"

namespace sdlm::heartbeat {

// `block`: the slot as read after all writes of the dead process have landed, or never will. `submitted`: the highest
// sequence that it had handed to the kernel. The records stay: others still have to learn them. Errors of
// decode_slot_header; busy: the slot shows another life; stale: this one has ended there already.
Result<std::vector<std::byte>> make_last_image(std::span<const std::byte> block, const Uuid& volume, NodeIndex node,
                                               std::uint64_t offset, const Incarnation& life,
                                               std::uint64_t submitted);

}  // namespace sdlm::heartbeat
