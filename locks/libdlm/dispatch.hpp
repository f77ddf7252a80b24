// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include "locks/wire/message.hpp"

namespace sdlm::client {

// Fills in the program's lksb (completions only) and calls its routine; nothing when they are no addresses.
void deliver_to_program(const wire::Callback& callback);

}  // namespace sdlm::client
