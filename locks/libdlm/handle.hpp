// SPDX-License-Identifier: LGPL-2.1-or-later
// One open lockspace handle: two sockets and a ring, what this process knows of the locks it made through them, and the
// thread that delivers, if there is one. A forked child shares the sockets and has a copy of the rest. see CLIENT.md
#pragma once
#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "locks/libdlm/libdlm.h"
#include "locks/libdlm/transport.hpp"
#include "locks/wire/message.hpp"
#include "locks/wire/request_ring.hpp"

namespace sdlm::client {

class Mutex {
public:
    void lock() { pthread_mutex_lock(&mutex_); }
    void unlock() { pthread_mutex_unlock(&mutex_); }
    pthread_mutex_t& native() { return mutex_; }

private:
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};
class Guard {
public:
    explicit Guard(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
    ~Guard() { mutex_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

private:
    Mutex& mutex_;
};

// A call that waits for a completion of its own. Named by number, not by address: whoever delivers may be another
// process.
struct Waiter {
    std::uint64_t ast = 0;                       // the cookie that stands for it
    struct dlm_lksb* lksb = nullptr;
    int kick = -1;                               // eventfd, when the caller polls
    bool done = false;                           // under waiting_mutex of the handle
};

// Values of the cookie `ast` that no address has: bit 63 set.
inline constexpr std::uint64_t waiter_bit = std::uint64_t{1} << 63;

class Handle {
public:
    // 0 or errno.
    static int open(std::string_view name, Handle*& out);
    ~Handle();
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    const std::string& name() const { return name_; }
    const std::string& run_dir() const { return run_dir_; }
    int callbacks_fd() const { return callbacks_.get(); }
    bool is_callbacks_socket(std::uint64_t inode) const { return callbacks_inode_ == inode; }
    std::uint64_t owner() const { return owner_; }

    // Each returns 0 or errno. The request is complete but for sequence and tid.
    int lock(wire::Lock& request, std::uint32_t& id);
    int unlock(wire::Unlock& request, bool& completes);
    int purge(std::int32_t node, std::int32_t pid);
    bool knows(std::uint32_t id);                // made by this process through this handle, and alive
    bool mine() const;                           // opened by this process, not inherited over fork

    // Takes one callback from the socket and delivers it. EAGAIN: none; ENOTCONN: the end.
    int dispatch_one();
    int start_thread();                          // positive errno; EEXIST: it runs
    int start_waiting(Waiter& waiter, std::uint64_t number);
    // Until the waiter is done; ENOTCONN when the handle ends before.
    int wait(Waiter& waiter);
    void stop_waiting(Waiter& waiter);

    void fork_prepare();
    void fork_parent();
    void fork_child();

    // Ends the thread and all waits; only the destructor may follow, when nobody uses the handle any more.
    void shut();

    void close_sockets();                        // after shut(), when no other thread is in a call
    bool is_shut() const { return shut_.load(); }

    // The registry's, under its mutex.
    unsigned uses = 0;
    bool closed = false;

private:
    struct Shared;                               // memory shared with forked children
    struct Known {                               // a lock as far as completions have been delivered
        wire::Cookies cookies;                   // of the operation under way
        bool busy = false;                       // changed by mark() only
    };

    Handle(std::string_view name, const std::string& run_dir, Descriptor requests, Descriptor callbacks, void* ring,
           std::uint64_t owner, Shared* shared);

    bool single() const;                         // no other process has used the sockets
    bool thread_runs() const;
    std::uint32_t take_reserved_id();
    template <class M>
    int send(const M& request);
    // A request without an answer: into the ring, if there is one.
    template <class M>
    int submit(const M& request);
    template <class M>
    int exchange(M& request, wire::Message& answer);
    template <class M>
    int exchange_locked(M& request, wire::Message& answer);
    int lost();
    void forget(std::uint32_t id);
    void mark(Known& known, bool busy);          // under table_mutex_
    void note(const wire::Callback& callback);
    int next_callback(wire::Callback& callback);
    int next_callback_locked(wire::Callback& callback);
    bool deliver_waiter(const wire::Callback& callback);
    void end_of_callbacks();
    void wake_waiters();
    static void* thread_main(void* self);
    void thread_loop();

    const std::uint32_t process_;                // the mark of the process that opened it
    const std::string name_;
    const std::string run_dir_;                  // of the daemon, as it was found when the handle was opened
    Descriptor requests_, callbacks_;
    const std::uint64_t callbacks_inode_;
    const std::uint64_t owner_;
    Shared* const shared_;

    Mutex ring_mutex_;                           // taken last, held by no call that waits
    void* const ring_memory_;                    // null: there is none
    wire::RingWriter ring_;                      // this process' alone, not its forked children's

    Mutex table_mutex_;
    std::unordered_map<std::uint32_t, Known> known_;
    std::atomic<std::uint32_t> under_way_ = 0;   // busy ones of known_
    std::vector<std::uint32_t> reserved_;

    Mutex receive_mutex_;                        // from taking a callback to having filled in a waiter's lksb
    wire::CallbackPacket head_;                  // a copy of the packet at the head of the socket
    std::uint64_t head_number_ = 0;              // which one; 0: none
    Mutex waiting_mutex_;
    pthread_cond_t waiting_changed_ = PTHREAD_COND_INITIALIZER;
    std::unordered_map<std::uint64_t, Waiter*> waiters_;
    std::vector<int> spare_kicks_;
    std::atomic<bool> lost_ = false;
    bool ended_ = false;                         // end of file of the callbacks was seen
    std::atomic<bool> shut_ = false;

    pthread_t thread_{};
    bool thread_started_ = false;
    Descriptor thread_stop_;
};

std::uint32_t thread_id();

}  // namespace sdlm::client
