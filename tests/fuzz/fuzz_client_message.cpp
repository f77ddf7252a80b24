// SPDX-License-Identifier: LGPL-2.1-or-later
// What libdlm and the daemon send each other (locks/wire): whatever is accepted encodes to the same bytes again. The
// first byte says how the rest is read: as one message, as a packet of callbacks, as the contents of a request ring.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "locks/wire/request_ring.hpp"

namespace {

using namespace sdlm::wire;

void check_message(std::span<const std::byte> packet) {
    Message message;
    if (decode(packet, message) != nullptr) return;
    Packet again;
    encode(message, again);
    if (!std::ranges::equal(again.span(), packet)) std::abort();
}

void check_callbacks(std::span<const std::byte> packet) {
    Callback callback;
    std::size_t taken = 0;
    for (; !packet.empty() && decode_first(packet, callback, taken) == nullptr; packet = packet.subspan(taken)) {
        Packet again;
        encode(callback, again);
        if (!std::ranges::equal(again.span(), packet.first(taken))) std::abort();
    }
}

// The first four bytes are the position that the client claims.
void check_ring(std::span<const std::byte> contents) {
    struct alignas(64) Mapping {
        std::byte bytes[ring_mapping_bytes];
    };
    static const auto mapping = std::make_unique<Mapping>();
    auto& header = *new (mapping->bytes) RingHeader{};
    if (contents.size() < 4) return;
    for (unsigned i = 0; i < 4; ++i)
        header.written = header.written | std::to_integer<std::uint32_t>(contents[i]) << (8 * i);
    contents = contents.subspan(4).first(std::min<std::size_t>(contents.size() - 4, ring_bytes));
    std::copy(contents.begin(), contents.end(), mapping->bytes + ring_offset);
    RingReader reader(mapping->bytes);
    const std::uint32_t end = reader.end();
    Packet packet;
    while (reader.before(end) && reader.take(end, packet) == nullptr) check_message(packet.span());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::span<const std::byte> rest(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
    switch (data[0] % 3) {
        case 0: check_message(rest); break;
        case 1: check_callbacks(rest); break;
        default: check_ring(rest); break;
    }
    return 0;
}
