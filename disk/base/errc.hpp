// SPDX-License-Identifier: LGPL-2.1-or-later
// Every operating error of the project, and an Error: what failed, and where.
// Protocol outcomes (would block, deadlock, cancelled ...) are not errors; they are enums of the cores.
#pragma once
#include <cstdint>
#include <string>

namespace sdlm {

enum class Errc : std::uint16_t {
    io = 1,           // the kernel said so: os_errno tells
    timeout,          // no completion within the bound; the operation may still take effect
    short_transfer,   // fewer bytes than a block
    bad_magic,        // not one of our blocks
    bad_checksum,     // crc32c does not match
    bad_version,      // a format version or feature we do not know
    bad_field,        // a field is out of its range; `field` names it
    wrong_block,      // the block says that it belongs elsewhere (misdirected write)
    wrong_volume,     // the block carries another volume's UUID
    wrong_node,       // the block belongs to another node
    stale,            // an older generation's block (journal page not written yet, or overwritten)
    too_small,        // the device cannot hold the volume
    too_large,        // an argument or a count is over its limit
    no_space,         // a bounded table or area is full
    bad_argument,     // a caller's argument
    not_found,
    exists,
    busy,             // taken by another node or program
    unsupported,      // kernel or device lacks a feature that is needed
    fenced,           // this node's lease is over
};

struct [[nodiscard]] Error {
    Errc code;
    std::int32_t os_errno = 0;      // positive errno, 0 when the kernel is not the source
    std::uint64_t offset = 0;       // byte offset on the device; 0 when no block is concerned
    const char* field = nullptr;    // static string: the record's field or the argument, or null
    friend bool operator==(const Error& a, const Error& b) {
        return a.code == b.code && a.os_errno == b.os_errno && a.offset == b.offset;
    }
};

// A short English phrase for the code ("bad checksum").
const char* text(Errc code) noexcept;

// "bad checksum in field crc (offset 0x1600)": phrase, field, offset and errno text, for a message after "WHERE: ".
std::string describe(const Error& error);

}  // namespace sdlm
