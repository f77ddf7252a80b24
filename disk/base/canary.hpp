// SPDX-License-Identifier: LGPL-2.1-or-later
// Planted bugs, to prove that the simulation finds them: SDLM_CANARY(n) is false, except in the canary build of the cores
// (tests/sim), where a run chooses one. The list of numbers is in tests/sim/CMakeLists.txt.
#pragma once

#ifdef SDLM_CANARIES
namespace sdlm {
inline int canary = 0;      // set before anything else
}
#define SDLM_CANARY(n) (::sdlm::canary == (n))
#else
#define SDLM_CANARY(n) false
#endif
