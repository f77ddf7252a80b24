// SPDX-License-Identifier: LGPL-2.1-or-later
// Records back to back without a block around them, in a buffer of exactly their size: a read behind the end is seen by
// AddressSanitizer.
#include "disk/format/record.hpp"

#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::BlockInput input(data, size);
    const fuzz::Bytes bytes(input.bytes.begin(), input.bytes.end());
    for (std::size_t at = 0; at < bytes.size();) {
        const std::size_t start = at;
        const auto record = disk::decode_record(bytes, at);
        if (!record) {
            SDLM_ASSERT(at == start);
            SDLM_ASSERT(record.error().field != nullptr);
            return 0;
        }
        const std::size_t length = at - start;
        SDLM_ASSERT(length % 8 == 0 && length <= disk::record_bytes_max);
        const auto again = fuzz::encode_all({*record});
        SDLM_ASSERT(again.size() == length && std::equal(again.begin(), again.end(), bytes.data() + start));
    }
    return 0;
}
