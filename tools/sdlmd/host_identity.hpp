// SPDX-License-Identifier: LGPL-2.1-or-later
// Who this node is: the host's lasting id, this boot, a random seed.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "disk/base/ids.hpp"

namespace sdlm::tools {

struct HostFiles {      // tests point them elsewhere
    std::string machine_id = "/etc/machine-id";
    std::string product_uuid = "/sys/class/dmi/id/product_uuid";
    std::string boot_id = "/proc/sys/kernel/random/boot_id";
};

// Not for secrets: tells names apart. Same text, same digest, on every host.
std::uint64_t digest64(std::string_view text, std::uint64_t salt);

struct HostId {
    Uuid uuid;
    std::uint64_t boot = 0;
    std::string warning;      // the id will not survive a reboot; empty when it will
};

// The machine id is digested (machine-id(5): it is not to be shown to others), else the firmware's UUID, else the
// boot's id: then the host is another one after a reboot.
HostId read_host_id(const HostFiles& files = {});

std::string host_name();            // at most limits::node_name_bytes
std::uint64_t random_seed();        // getrandom(2)

}  // namespace sdlm::tools
