// SPDX-License-Identifier: LGPL-2.1-or-later
// Delivery of callbacks: who takes one from the socket, what it changes, and who waits for it.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "locks/libdlm/dispatch.hpp"
#include "locks/libdlm/handle.hpp"
#include "locks/libdlm/registry.hpp"

namespace sdlm::client {
namespace {

// Programs pass 1 as the routine of calls that have no completion: the first page is nobody's.
constexpr std::uint64_t lowest_address = 4096;
bool is_address(std::uint64_t value) { return value >= lowest_address && (value & waiter_bit) == 0; }

template <class T>
T* address(std::uint64_t value) {
    return reinterpret_cast<T*>(value);
}

void fill_in(const wire::Callback& callback, struct dlm_lksb& lksb) {
    lksb.sb_status = callback.status;
    lksb.sb_lkid = callback.id;
    lksb.sb_flags = static_cast<char>(callback.sb_flags);
    if (callback.has_lvb && lksb.sb_lvbptr != nullptr)
        std::memcpy(lksb.sb_lvbptr, callback.lvb.data(), wire::lvb_bytes);
}

void poll_for(int first, int second) {
    pollfd both[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
    int old = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    ::poll(both, second >= 0 ? 2 : 1, -1);                  // EINTR: the caller looks again
    pthread_setcancelstate(old, nullptr);
}

void signal(int eventfd) {
    const std::uint64_t one = 1;
    while (::write(eventfd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

}  // namespace

void deliver_to_program(const wire::Callback& callback) {
    if (callback.kind == wire::CallbackKind::completion && is_address(callback.lksb))
        fill_in(callback, *address<struct dlm_lksb>(callback.lksb));
    if (is_address(callback.function)) address<void(void*)>(callback.function)(address<void>(callback.argument));
}

// With the receive mutex held, so that a caller who gives up waiting can be sure that its lksb is left alone.
bool Handle::deliver_waiter(const wire::Callback& callback) {
    const Guard guard(waiting_mutex_);
    const auto found = waiters_.find(callback.function);
    if (found == waiters_.end()) return false;
    Waiter& waiter = *found->second;
    fill_in(callback, *waiter.lksb);
    waiter.done = true;
    if (waiter.kick >= 0) signal(waiter.kick);
    pthread_cond_broadcast(&waiting_changed_);
    return true;
}

int Handle::dispatch_one() {
    wire::Callback callback;
    int error = 0;
    {
        const Guard guard(receive_mutex_);
        error = shut_.load() ? ENOTCONN : next_callback(callback);
        if (error == 0 && callback.kind == wire::CallbackKind::completion) {
            note(callback);
            if ((callback.function & waiter_bit) != 0 && deliver_waiter(callback)) return 0;
        }
    }
    if (error == 0) deliver_to_program(callback);
    else if (error == ENOTCONN && !shut_.load()) end_of_callbacks();
    return error;
}

void Handle::wake_waiters() {
    for (auto& [number, waiter] : waiters_)
        if (waiter->kick >= 0) signal(waiter->kick);
    pthread_cond_broadcast(&waiting_changed_);
}

// The daemon or its lease has ended: whatever is under way completes now.
void Handle::end_of_callbacks() {
    lost_.store(true);
    {
        const Guard guard(waiting_mutex_);
        ended_ = true;
        wake_waiters();
    }
    if (!mine()) return;                         // the parent's operations are the parent's to end
    std::unordered_map<std::uint32_t, Known> ended;
    {
        const Guard guard(table_mutex_);
        ended.swap(known_);
    }
    for (const auto& [id, known] : ended) {
        if (!known.busy || (known.cookies.ast & waiter_bit) != 0) continue;
        deliver_to_program({.id = id, .status = EIO, .function = known.cookies.ast, .argument = known.cookies.argument,
                            .lksb = known.cookies.lksb});
    }
}

bool Handle::thread_runs() const { return thread_started_ && mine(); }

int Handle::start_waiting(Waiter& waiter, std::uint64_t number) {
    waiter.ast = waiter_bit | number;
    const Guard guard(waiting_mutex_);
    if (shut_.load() || ended_) return ENOTCONN;
    const bool polls = !thread_runs() || pthread_equal(thread_, pthread_self()) != 0;
    if (polls && !spare_kicks_.empty()) {
        waiter.kick = spare_kicks_.back();
        spare_kicks_.pop_back();
    } else if (polls) {
        waiter.kick = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (waiter.kick < 0) return errno;
    }
    waiters_.emplace(waiter.ast, &waiter);
    return 0;
}

void Handle::stop_waiting(Waiter& waiter) {
    const Guard receiving(receive_mutex_);
    const Guard guard(waiting_mutex_);
    waiters_.erase(waiter.ast);
    if (waiter.kick < 0) return;
    std::uint64_t count = 0;
    (void)!::read(waiter.kick, &count, sizeof count);
    spare_kicks_.push_back(waiter.kick);
    waiter.kick = -1;
}

int Handle::wait(Waiter& waiter) {
    for (;;) {
        {
            const Guard guard(waiting_mutex_);
            int old = 0;
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
            while (waiter.kick < 0 && !waiter.done && !ended_ && !shut_.load())
                pthread_cond_wait(&waiting_changed_, &waiting_mutex_.native());
            pthread_setcancelstate(old, nullptr);
            if (waiter.done) return 0;
            if (ended_ || shut_.load()) return ENOTCONN;
        }
        poll_for(callbacks_.get(), waiter.kick);
        const int error = dispatch_one();
        if (error != 0 && error != EAGAIN && error != ENOTCONN) return error;
    }
}

int Handle::start_thread() {
    const Guard guard(waiting_mutex_);
    if (thread_runs()) return EEXIST;
    thread_stop_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!thread_stop_) return errno;
    const int error = pthread_create(&thread_, nullptr, thread_main, this);
    thread_started_ = error == 0;
    return error;
}

void* Handle::thread_main(void* self) {
    auto* handle = static_cast<Handle*>(self);
    Use use(handle);                             // taken by start_thread()
    if (use) handle->thread_loop();
    return nullptr;
}

void Handle::thread_loop() {
    const int stop = thread_stop_.get();
    int error = EAGAIN;
    while (error == EAGAIN && !shut_.load()) {
        poll_for(callbacks_.get(), stop);
        do error = dispatch_one();
        while (error == 0);
    }
}

void Handle::shut() {
    {
        const Guard guard(waiting_mutex_);
        shut_.store(true);
        wake_waiters();
    }
    if (!thread_runs()) return;
    signal(thread_stop_.get());
    if (pthread_equal(thread_, pthread_self()) != 0) pthread_detach(thread_);
    else pthread_join(thread_, nullptr);
    thread_started_ = false;
}

}  // namespace sdlm::client
