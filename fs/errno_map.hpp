// SPDX-License-Identifier: LGPL-2.1-or-later
// The one place where errors and refusals of the lock service become the errno of a file call. see fs/DLMFS.md §6
#pragma once
#include "disk/base/errc.hpp"
#include "locks/core/lock_port.hpp"

namespace sdlm::fs {

// Joining a domain (mkdir). Always positive.
int errno_of_join(Errc code) noexcept;
// Opening a lock resource (creating a lock file). Always positive.
int errno_of_open(Errc code) noexcept;
// A refused open(2). Always positive.
int errno_of(locks::Refusal why) noexcept;

}  // namespace sdlm::fs
