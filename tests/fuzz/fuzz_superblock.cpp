// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/superblock.hpp"

#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

namespace {
constexpr unsigned backup_switch = 0x04;      // judged as the copy in the last page of the golden volume
constexpr std::uint64_t backup_offset = (std::uint64_t{1} << 30) - limits::page_bytes;
constexpr NodeIndex nobody = 0xffff;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::BlockInput input(data, size);
    const std::uint64_t offset = (input.switches & backup_switch) != 0 ? backup_offset : disk::superblock_offset;
    const auto block =
        fuzz::make_block(input, disk::superblock_bytes, disk::layout::superblock_magic, nobody, offset);
    const auto superblock = disk::decode_superblock(block, offset);
    if (!superblock) return 0;
    SDLM_ASSERT(disk::check(superblock->geometry));
    fuzz::Bytes again(disk::superblock_bytes);
    disk::encode(*superblock, offset, again);
    SDLM_ASSERT(again == block);
    return 0;
}
