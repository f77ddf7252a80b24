// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/node_names.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <vector>

#include "disk/format/page.hpp"
#include "disk/io/block_device.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

json read_names(const std::string& path, const json& peers) {
    json names = json::array();
    auto device = disk::BlockDevice::open(path, {});
    if (!device) return names;
    std::string message;
    const auto volume = disk::load_superblock(*device, message);
    if (!volume) return names;
    std::vector<std::byte> page(limits::page_bytes);
    for (const json& peer : peers) {
        const auto node = peer.at("node").get<NodeIndex>();
        const disk::Superblock& superblock = volume->superblock;
        if (node >= superblock.geometry.slot_count) continue;
        const std::uint64_t offset = superblock.geometry.card_offset(node);
        if (!device->read(offset, page)) continue;
        const auto card = disk::decode_card(page, superblock.uuid, node, offset);
        const json& life = peer.at("incarnation");
        if (!card || card->incarnation.generation != life.at("generation")) continue;
        if (card->incarnation.nonce != life.at("nonce")) continue;
        names.push_back({{"node", node}, {"name", escaped(card->node_name)}, {"host_name", escaped(card->host_name)}});
    }
    return names;
}

std::string read_all(int fd, Duration patience) {
    std::string text;
    const Duration step = milliseconds(20);
    for (Duration left = patience; left > Duration{};) {
        pollfd waiting{.fd = fd, .events = POLLIN, .revents = 0};
        if (::poll(&waiting, 1, static_cast<int>(step.ms())) <= 0) {
            left = left - step;
            continue;
        }
        std::array<char, 4096> chunk;
        const ssize_t got = ::read(fd, chunk.data(), chunk.size());
        if (got <= 0) return text;
        text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return {};
}

}  // namespace

void add_node_names(const std::string& device, json& peers, Duration patience) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
    const UniqueFd in(ends[0]);
    UniqueFd out(ends[1]);
    // A read of a dead device cannot be interrupted; only another process can be left behind with it.
    const pid_t child = ::fork();
    if (child < 0) return;
    if (child == 0) {
        // Nor may it keep open what somebody reads from this program until its end.
        const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null.get(), standard);
        const std::string text = read_names(device, peers).dump();
        const ssize_t written = ::write(out.get(), text.data(), text.size());
        ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
    }
    out.reset();
    const std::string text = read_all(in.get(), patience);
    if (text.empty()) ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, text.empty() ? WNOHANG : 0);
    const json names = json::parse(text, nullptr, false);
    if (!names.is_array()) return;
    for (json& peer : peers) {
        for (const json& name : names) {
            if (name.at("node") == peer.at("node")) peer.update(name);
        }
    }
}

}  // namespace sdlm::tools
