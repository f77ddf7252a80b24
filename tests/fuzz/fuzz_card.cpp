// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/page.hpp"
#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

namespace {
constexpr std::uint64_t offset = 0x1811000;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::BlockInput input(data, size);
    const auto block =
        fuzz::make_block(input, limits::page_bytes, disk::layout::card_magic, fuzz::block_node, offset);
    const auto card = disk::decode_card(block, fuzz::block_volume, fuzz::block_node, offset);
    if (!card) return 0;
    fuzz::Bytes again(limits::page_bytes);
    disk::encode_card(*card, fuzz::block_volume, offset, again);
    SDLM_ASSERT(again == block);
    return 0;
}
