// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/slot.hpp"

#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::BlockInput input(data, size);
    const std::size_t block_bytes =
        input.bytes.size() > limits::block_bytes_min ? limits::block_bytes_max : limits::block_bytes_min;
    const std::uint64_t offset = disk::slots_offset + fuzz::block_node * block_bytes;
    const auto block =
        fuzz::make_block(input, block_bytes, disk::layout::slot_magic, fuzz::block_node, offset);
    const auto header = disk::decode_slot_header(block, fuzz::block_volume, fuzz::block_node, offset);
    const auto volume = disk::slot_volume(block, offset);
    if (!header) {
        // A reader decodes records only behind a good header; a block that lies must not hurt it either way.
        std::vector<disk::Record> records;
        static_cast<void>(disk::decode_slot_records(block, offset, records));
        return 0;
    }
    SDLM_ASSERT(volume && *volume == fuzz::block_volume);
    std::vector<disk::Record> records;
    if (!disk::decode_slot_records(block, offset, records)) {
        SDLM_ASSERT(records.empty());
        return 0;
    }
    fuzz::Bytes again(block_bytes);
    disk::encode_slot(*header, static_cast<std::uint32_t>(records.size()), fuzz::encode_all(records),
                      fuzz::block_volume, offset, again);
    SDLM_ASSERT(again == block);
    return 0;
}
