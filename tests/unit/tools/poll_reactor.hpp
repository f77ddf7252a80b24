// SPDX-License-Identifier: LGPL-2.1-or-later
// A reactor on poll(2) for tests of its users: readiness only, no disk, one round per call of round().
#pragma once
#include <poll.h>

#include <map>
#include <memory>
#include <vector>

#include "disk/base/assert.hpp"
#include "disk/io/reactor.hpp"

namespace sdlm::tools::test {

class PollReactor final : public disk::Reactor {
public:
    // Serves what is ready now; waits for the first at most `wait_ms`. False when nothing was.
    bool round(int wait_ms) {
        std::vector<pollfd> fds;
        for (const auto& [fd, w] : watches_) {
            fds.push_back({.fd = fd, .events = static_cast<short>(w.events), .revents = 0});
        }
        if (::poll(fds.data(), fds.size(), wait_ms) <= 0) return false;
        for (const pollfd& p : fds) {
            const auto found = watches_.find(p.fd);
            if (p.revents == 0 || found == watches_.end()) continue;
            const auto ready = found->second.ready;      // may be unwatched from inside
            (*ready)(static_cast<std::uint32_t>(p.revents));
        }
        return true;
    }
    std::size_t watch_count() const { return watches_.size(); }

    Result<void> register_file(int) override { return {}; }
    disk::IoBuffer take_buffer() override { return {}; }
    void give_buffer(disk::IoBuffer) override {}
    void read(int, std::uint64_t, disk::IoBuffer, std::size_t, IoDone) override { SDLM_UNREACHABLE(); }
    void write(int, std::uint64_t, disk::IoBuffer, std::size_t, IoDone) override { SDLM_UNREACHABLE(); }
    void watch(int fd, std::uint32_t events, FdReady ready) override {
        SDLM_ASSERT(!watches_.contains(fd));
        watches_[fd] = {events, std::make_shared<FdReady>(std::move(ready))};
    }
    void change_watch(int fd, std::uint32_t events) override { watches_.at(fd).events = events; }
    void unwatch(int fd) override { watches_.erase(fd); }
    void post(std::function<void()> work) override { work(); }
    void set_round_end(std::function<Instant()>) override {}
    Instant now() const override { return {}; }
    void run() override { SDLM_UNREACHABLE(); }
    void stop() override {}

private:
    struct Watch {
        std::uint32_t events = 0;
        std::shared_ptr<FdReady> ready;
    };
    std::map<int, Watch> watches_;
};

}  // namespace sdlm::tools::test
