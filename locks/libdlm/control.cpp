// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/control.hpp"

#include <cerrno>
#include <cstring>

namespace sdlm::client {
namespace {

int ask(int fd, const wire::Message& request, OnSignal on_signal = OnSignal::go_on) {
    wire::Packet packet;
    wire::encode(request, packet);
    if (const int error = send_packet(fd, packet)) return error;
    wire::Message answer;
    if (const int error = receive(fd, answer, on_signal)) return error;
    const auto* reply = std::get_if<wire::ControlReply>(&answer);
    return reply != nullptr ? reply->error : EPROTO;
}

int connect_and_ask(const wire::Message& request) {
    std::string run_dir;
    if (const int error = find_run_dir(run_dir)) return error;
    Descriptor fd;
    if (const int error = connect_control(run_dir, fd)) return error;
    return ask(fd.get(), request);
}

}  // namespace

int check_lockspace_name(const char* name) {
    if (name == nullptr || *name == '\0') return EINVAL;
    if (::strnlen(name, wire::name_bytes_max + 1) > wire::name_bytes_max) return EINVAL;
    for (const char* at = name; *at != '\0'; ++at) {
        const auto byte = static_cast<unsigned char>(*at);
        if (byte < 0x20 || byte == 0x7f || byte == '/') return EINVAL;
    }
    return 0;
}

int ask_version() { return connect_and_ask(wire::AskVersion{}); }

int create_lockspace(std::string_view name, std::uint32_t mode, std::uint32_t flags) {
    return connect_and_ask(wire::CreateLockspace{.flags = flags, .mode = mode, .name = wire::Name::of(name)});
}

void close_lockspace(Use& use) {
    Descriptor fd;
    const bool reachable = connect_control(use->run_dir(), fd) == 0;
    const std::uint64_t owner = use->owner();
    close_handle(use);
    if (reachable) (void)ask(fd.get(), wire::SettleOwner{.owner = owner});
}

int release_lockspace(Use& use, bool force) {
    Descriptor fd;
    const int unreachable = connect_control(use->run_dir(), fd);
    const wire::ReleaseLockspace request{.force = force, .owner = use->owner(), .name = wire::Name::of(use->name())};
    close_handle(use);
    if (unreachable != 0) return unreachable;
    wait_for_ever(fd.get());
    return ask(fd.get(), request, OnSignal::interrupt);
}

}  // namespace sdlm::client
