// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/host_identity.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <fstream>

#include "disk/base/assert.hpp"
#include "disk/base/limits.hpp"
#include "disk/base/prng.hpp"

namespace sdlm::tools {
namespace {

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

Uuid digest_uuid(std::string_view text) {
    Uuid uuid;
    std::uint64_t halves[2] = {digest64(text, 1), digest64(text, 2)};
    for (std::size_t i = 0; i < uuid.bytes.size(); ++i)
        uuid.bytes[i] = static_cast<std::uint8_t>(halves[i / 8] >> (i % 8 * 8));
    uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0f) | 0x80);      // version 8: our own derivation
    uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
    return uuid;
}

bool looks_like_id(const std::string& text) {
    return text.size() >= 32 && text.find_first_not_of("0123456789abcdefABCDEF-") == std::string::npos &&
           text.find_first_not_of("0-") != std::string::npos;
}

}  // namespace

// FNV-1a, then splitmix64's mixing.
std::uint64_t digest64(std::string_view text, std::uint64_t salt) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return Prng(hash ^ Prng(salt).next()).next();
}

HostId read_host_id(const HostFiles& files) {
    HostId id;
    const std::string boot = first_line(files.boot_id);
    id.boot = digest64(boot, 0);
    for (const std::string& path : {files.machine_id, files.product_uuid}) {
        const std::string text = first_line(path);
        if (!looks_like_id(text)) continue;
        id.uuid = digest_uuid("sdlm host " + text);
        return id;
    }
    id.uuid = digest_uuid("sdlm boot " + boot);
    id.warning = "no host id in " + files.machine_id + " or " + files.product_uuid +
                 ": this host counts as a new one after a reboot; create it with systemd-machine-id-setup";
    return id;
}

std::string host_name() {
    char name[limits::node_name_bytes + 1] = {};
    // A longer name is cut; POSIX leaves the end of a cut name open.
    if (::gethostname(name, sizeof name - 1) != 0 && errno != ENAMETOOLONG) return "localhost";
    name[sizeof name - 1] = '\0';
    return name;
}

std::uint64_t random_seed() {
    std::uint64_t seed = 0;
    ssize_t got = -1;
    do got = ::getrandom(&seed, sizeof seed, 0);
    while (got < 0 && errno == EINTR);
    SDLM_ASSERT(got == static_cast<ssize_t>(sizeof seed));
    return seed;
}

}  // namespace sdlm::tools
