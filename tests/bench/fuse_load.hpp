// SPDX-License-Identifier: LGPL-2.1-or-later
// open() and close() on a dlmfs of a live node, in turn with the bare file system's.
#pragma once
#include <cstdint>
#include <string>

#include "tests/bench/bench_node.hpp"
#include "tests/bench/samples.hpp"

namespace sdlm::bench {

struct FuseTimes {
    Samples bare;
    Samples cached;          // the lock is held by this node, idle
    Samples uncached;        // a lock that the node does not hold: one write and one read at least
};

// `bare` is the directory of a BareFuse, `directory` an empty one for the dlmfs.
FuseTimes measure_fuse(BenchNode& node, const std::string& bare, const std::string& directory, std::uint64_t count);

}  // namespace sdlm::bench
