// SPDX-License-Identifier: LGPL-2.1-or-later
// The checkers' own reading of the disk: what a node has made durable of one resource, at this very moment (I5).
#pragma once
#include <optional>

#include "disk/format/geometry.hpp"
#include "disk/format/record.hpp"
#include "tests/sim/life.hpp"
#include "tests/sim/sim_disk.hpp"

namespace sdlm::sim {

class DiskWitness {
public:
    DiskWitness(const SimDisk& disk, const disk::Geometry& geometry, const Uuid& volume)
        : disk_(disk), geometry_(geometry), volume_(volume) {}

    // The newest durable record of the key; nullopt when an injected fault has made the life's blocks unreadable.
    std::optional<disk::LockRecord> published(const Life& life, const disk::ResourceKey& key) const;
    // I5: a granted mode was wanted or held on the disk before.
    void check_grant(const Life& life, const disk::ResourceKey& key, disk::Mode mode) const;

private:
    const SimDisk& disk_;
    disk::Geometry geometry_;
    Uuid volume_;
};

}  // namespace sdlm::sim
