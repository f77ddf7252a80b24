// SPDX-License-Identifier: LGPL-2.1-or-later
// CRC-32C (Castagnoli), as iSCSI and ext4 use it: reflected polynomial 0x82f63b78, initial and final xor ~0.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace sdlm {
// crc of `bytes`; crc32c("123456789") == 0xe3069283.
std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;
}  // namespace sdlm
