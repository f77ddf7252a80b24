// SPDX-License-Identifier: LGPL-2.1-or-later
// Planted bugs, to prove that the simulation finds them: SDLM_CANARY(n) is false, except in a canary build (tests/sim)
// whose SDLM_CANARY_ID is n. The list of numbers is in tests/sim/README.md.
#pragma once

#ifdef SDLM_CANARY_ID
#define SDLM_CANARY(n) (SDLM_CANARY_ID == (n))
#else
#define SDLM_CANARY(n) false
#endif
