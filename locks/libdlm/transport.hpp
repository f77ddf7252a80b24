// SPDX-License-Identifier: LGPL-2.1-or-later
// Sockets towards the node daemon, for a library that lives in other people's processes: nothing is thrown, EINTR is
// survived, every descriptor is close-on-exec. Functions return 0 or a positive errno. see locks/wire/CLIENT.md
#pragma once
#include <string>
#include <string_view>

#include "locks/wire/message.hpp"

namespace sdlm::client {

class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        reset(other.release());
        return *this;
    }
    ~Descriptor() { reset(); }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    void reset(int fd = -1);

private:
    int fd_ = -1;
};

// EUNATCH: no daemon; ENOTUNIQ: several and no SDLM_RUN_DIR.
int find_run_dir(std::string& out);
int connect_control(const std::string& run_dir, Descriptor& out);
// ENOENT: no such lockspace on this node; EACCES.
int connect_lockspace(const std::string& run_dir, std::string_view name, Descriptor& out);

// Blocks while the socket is full. ENOTCONN when the daemon has ended the connection.
int send_packet(int fd, const wire::Packet& packet);
// `message` is set on 0. ENOTCONN: end; EPROTO: not a message. With `interruptible` an EINTR is the caller's.
enum class OnSignal { go_on, interrupt };
int receive(int fd, wire::Message& message, OnSignal on_signal = OnSignal::go_on);
void wait_for_ever(int fd);                                     // connections start with a bound of 10 s
// `ring`: empty when the daemon offers none.
int receive_welcome(int fd, wire::Welcome& welcome, Descriptor& callbacks, Descriptor& ring);

// A packet of callbacks. Never blocks. EAGAIN: nothing there; ENOTCONN: end.
enum class Leave : bool { no, in_socket };
int receive_callbacks(int fd, wire::CallbackPacket& packet, Leave leave);
void drop_callbacks(int fd);                                    // the packet that was left in the socket

}  // namespace sdlm::client
