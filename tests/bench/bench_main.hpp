// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once
#include <cstdio>
#include <exception>

namespace sdlm::bench {

// The exit code of a benchmark program: that of `run`, or 1 with what went wrong on stderr.
inline int bench_main(const char* program, int (*run)(int, char**), int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", program, error.what());
        return 1;
    }
}

}  // namespace sdlm::bench
