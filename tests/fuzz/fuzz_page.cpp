// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/format/page.hpp"

#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

namespace {
constexpr std::uint64_t offset = 0x1812000;
constexpr disk::PageHeader expected{fuzz::block_node, fuzz::block_life, 5};
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::BlockInput input(data, size);
    const auto block =
        fuzz::make_block(input, limits::page_bytes, disk::layout::page_magic, fuzz::block_node, offset);
    std::vector<disk::Record> records;
    const auto any = disk::decode_any_page(block, fuzz::block_volume, offset, records);
    std::vector<disk::Record> same;
    const auto page = disk::decode_page(block, fuzz::block_volume, expected, offset, same);
    if (!any) {
        SDLM_ASSERT(!page);
        SDLM_ASSERT(records.empty() && same.empty());
        return 0;
    }
    SDLM_ASSERT(page.has_value() == (*any == expected));
    if (page) SDLM_ASSERT(same == records);
    fuzz::Bytes again(limits::page_bytes);
    disk::encode_page(*any, static_cast<std::uint32_t>(records.size()), fuzz::encode_all(records), fuzz::block_volume,
                      offset, again);
    SDLM_ASSERT(again == block);
    return 0;
}
