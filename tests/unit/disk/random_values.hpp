// SPDX-License-Identifier: LGPL-2.1-or-later
// Random values of the format's types, and what several codec tests share.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "disk/base/prng.hpp"
#include "disk/format/page.hpp"
#include "disk/format/record.hpp"
#include "disk/format/slot.hpp"
#include "disk/format/superblock.hpp"

namespace sdlm::disk::test {

std::string random_text(Prng& prng, std::size_t bytes_min, std::size_t bytes_max);     // printable
Record random_record(Prng& prng);
LockEntry largest_lock_entry();
SlotHeader random_slot_header(Prng& prng);
Superblock random_superblock(Prng& prng);
Uuid random_uuid(Prng& prng);
std::vector<std::byte> random_bytes(Prng& prng, std::size_t count);

// Encodes one record after the other, as many of `records` as fit; drops the others.
std::vector<std::byte> encode_list(std::vector<Record>& records, std::size_t capacity);

// Flips each bit of `block`, calls `accepted`, and reports the bits whose flip was accepted.
void expect_every_flip_detected(std::vector<std::byte> block,
                                const std::function<bool(const std::vector<std::byte>&)>& accepted);

// The block with `value` written at `at` and its checksum made right again.
template <class T>
std::vector<std::byte> patched(std::vector<std::byte> block, std::size_t at, T value);
void reseal(std::vector<std::byte>& block);

template <class T>
std::vector<std::byte> patched(std::vector<std::byte> block, std::size_t at, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i)
        block.at(at + i) = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i));
    reseal(block);
    return block;
}

}  // namespace sdlm::disk::test
