// SPDX-License-Identifier: LGPL-2.1-or-later
// The public header as the library itself sees it: everything in it is exported, nothing else is.
#ifndef SDLM_O2DLM_API_H
#define SDLM_O2DLM_API_H

#pragma GCC visibility push(default)
#include <o2dlm/o2dlm.h>
#pragma GCC visibility pop

#endif
