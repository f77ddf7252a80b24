// SPDX-License-Identifier: LGPL-2.1-or-later
// What libblkid knows about a device: file systems, swap, RAID and LVM members, partition tables.
#pragma once
#include <string>

namespace sdlm::tools::mkfs {

struct SignatureReport {
    std::string found;       // "ext4 at offset 0x438" of the first signature; empty: none
    std::string problem;     // a sentence when the device could not be probed
};

SignatureReport find_signature(const std::string& path);
// Erases every signature. Returns an empty string, or a sentence naming the one that stayed.
std::string wipe_signatures(const std::string& path);

}  // namespace sdlm::tools::mkfs
