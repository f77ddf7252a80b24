// SPDX-License-Identifier: LGPL-2.1-or-later
// Opening of a ring with the best flags the kernel has, and the sentences for kernels that have too little.
#pragma once
#include <liburing.h>

#include <string>

#include "disk/base/result.hpp"

namespace sdlm::disk {

inline constexpr unsigned completions_per_entry = 4;      // size of the completion queue

// On success `ring` is open and belongs to the calling thread. On failure Errc::unsupported (or io for lack of memory
// or descriptors) with the errno, and `message` names the missing feature and what to do.
Result<void> open_ring(unsigned entries, io_uring& ring, std::string& message);

// The sentence for a failed io_uring_setup(2); `disabled` is the value of kernel.io_uring_disabled, -1 when absent.
std::string setup_failure(int os_errno, int disabled);

}  // namespace sdlm::disk
