// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/base/errc.hpp"

#include <cstdio>
#include <cstring>

namespace sdlm {

const char* text(Errc code) noexcept {
    switch (code) {
        case Errc::io: return "I/O error";
        case Errc::timeout: return "timed out";
        case Errc::short_transfer: return "short transfer";
        case Errc::bad_magic: return "bad magic number";
        case Errc::bad_checksum: return "bad checksum";
        case Errc::bad_version: return "unknown format version or feature";
        case Errc::bad_field: return "value out of range";
        case Errc::wrong_block: return "block belongs at another place (misdirected write)";
        case Errc::wrong_volume: return "block belongs to another volume";
        case Errc::wrong_node: return "block belongs to another node";
        case Errc::stale: return "block is of an older generation";
        case Errc::too_small: return "device too small";
        case Errc::too_large: return "over the limit";
        case Errc::no_space: return "no space left";
        case Errc::bad_argument: return "bad argument";
        case Errc::not_found: return "not found";
        case Errc::exists: return "exists already";
        case Errc::busy: return "in use";
        case Errc::unsupported: return "not supported here";
        case Errc::fenced: return "this node's lease has expired";
    }
    return "unknown error";
}

std::string describe(const Error& error) {
    std::string out = text(error.code);
    if (error.field != nullptr) {
        out += " in field ";
        out += error.field;
    }
    if (error.offset != 0) {
        char where[40];
        std::snprintf(where, sizeof where, " (offset 0x%llx)",
                      static_cast<unsigned long long>(error.offset));
        out += where;
    }
    if (error.os_errno != 0) {
        out += ": ";
        out += std::strerror(error.os_errno);
    }
    return out;
}

}  // namespace sdlm
