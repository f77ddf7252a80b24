// SPDX-License-Identifier: LGPL-2.1-or-later
// The channel to the kernel behind a Dlmfs: requests in, replies out (some of them later), poll notifications, and the
// node's lock events. Private to fs/. Never notifies the kernel from inside a request, never blocks.
#pragma once
#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "disk/io/reactor.hpp"
#include "fs/dlmfs.hpp"
#include "fs/namespace_model.hpp"
#include "locks/core/lock_port.hpp"

namespace sdlm::fs {

class FuseSession final : public locks::LockEvents {
public:
    FuseSession(disk::Reactor& reactor, locks::LockPort& port, MountOptions options);
    ~FuseSession() override;
    FuseSession(const FuseSession&) = delete;
    FuseSession& operator=(const FuseSession&) = delete;

    Result<void> open(std::string& message);
    Result<void> mount(std::string& message);
    void unmount();
    bool mounted() const { return mounted_; }
    void set_on_unmounted(std::function<void()> on_unmounted) { on_unmounted_ = std::move(on_unmounted); }

    // LockEvents: taken down and acted on before the next request, or in posted work.
    void granted(locks::Handle handle, locks::Mode mode, const locks::Lvb& lvb) override;
    void refused(locks::Handle handle, locks::Refusal why) override;
    void blocked(locks::Handle handle, locks::Mode mode) override;
    void lease_lost() override;

    // For the request functions (fuse_operations.cpp).
    NamespaceModel& model() { return model_; }
    void request_open(fuse_req_t request, Ino ino, int flags);
    void keep_poll_handle(OpenId id, fuse_pollhandle* handle);
    void release_open(OpenId id);
    std::uint64_t open_listing(Ino directory);
    const std::vector<Entry>* listing(std::uint64_t id, bool anew);
    void close_listing(std::uint64_t id) { listings_.erase(id); }

private:
    struct PendingOpen {
        FuseSession* session = nullptr;
        fuse_req_t request = nullptr;
        OpenId id = 0;
    };
    struct Granted { locks::Handle handle; locks::Mode mode; };
    struct Refused { locks::Handle handle; locks::Refusal why; };
    struct Blocked { locks::Handle handle; locks::Mode mode; };
    struct LeaseLost {};
    using LockEvent = std::variant<Granted, Refused, Blocked, LeaseLost>;
    struct Listing { Ino directory = 0; std::vector<Entry> entries; };
    struct Deadline { Instant at; OpenId id = 0; };

    static void interrupted(fuse_req_t request, void* pending);
    void take_event(LockEvent event);
    void act_on(const LockEvent& event);
    void drain_events();
    void schedule_work();
    void work();
    void deliver();
    void answer(const OpenAnswer& answer);
    void notify_wakes();
    void drop_hold(OpenId id);
    void readable();
    void add_deadline(OpenId id);
    void arm_timer();
    void timer_fired();
    void finish();
    void ended_by_kernel();

    disk::Reactor& reactor_;
    const MountOptions options_;
    NamespaceModel model_;
    fuse_session* session_ = nullptr;
    fuse_buf buffer_{};
    int timer_fd_ = -1;
    bool mounted_ = false;
    bool work_scheduled_ = false;
    std::function<void()> on_unmounted_;
    OpenId next_open_ = 0;
    std::map<OpenId, std::unique_ptr<PendingOpen>> pending_;
    std::map<OpenId, fuse_pollhandle*> poll_handles_;
    std::map<OpenId, std::uint64_t> holds_;          // open files, as MountOptions::hold() named them
    std::vector<LockEvent> events_;
    std::vector<OpenId> interrupts_;
    std::vector<OpenId> wakes_;
    std::deque<Deadline> deadlines_;                 // in time order: the bound is the same for all
    std::uint64_t next_listing_ = 0;
    std::map<std::uint64_t, Listing> listings_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);   // posted work may come after the destructor
};

// The request table. see fs/DLMFS.md §5
const fuse_lowlevel_ops& fuse_operations();

}  // namespace sdlm::fs
