// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/handle.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <optional>

#include "locks/dlm/flags.hpp"

namespace sdlm::client {

namespace lkf = dlm::lkf;

struct Handle::Shared {
    pthread_mutex_t exchange;                    // robust: a child may be killed between request and answer
    std::uint32_t sequence;
    std::atomic<bool> child_calls;               // a forked child has used the sockets, too
};

namespace {

constexpr std::size_t shared_bytes = 4096;

// A caller that is cancelled between request and answer would leave the mutex locked.
class Uncancelled {
public:
    Uncancelled() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old_); }
    ~Uncancelled() { pthread_setcancelstate(old_, nullptr); }
    Uncancelled(const Uncancelled&) = delete;
    Uncancelled& operator=(const Uncancelled&) = delete;

private:
    int old_ = 0;
};

// A number of this process in memory that reads 0 in a forked child, whatever kind of fork it was; null when the kernel
// has no such memory: then every call asks for its answer.
std::uint32_t* process_mark() {
    static std::uint32_t* const mark = [] {
        void* page = ::mmap(nullptr, shared_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || ::madvise(page, shared_bytes, MADV_WIPEONFORK) != 0)
            return static_cast<std::uint32_t*>(nullptr);
        return static_cast<std::uint32_t*>(page);
    }();
    return mark;
}

std::uint32_t current_process() {
    const std::uint32_t* mark = process_mark();
    return mark == nullptr ? 0 : *static_cast<const volatile std::uint32_t*>(mark);
}

// Called while a handle is opened: a process that has no number yet gets one that none of its ancestors had.
std::uint32_t number_process() {
    static std::atomic<std::uint32_t> last = 0;
    std::uint32_t* mark = process_mark();
    if (mark == nullptr) return 0;
    if (*mark == 0) *mark = ++last;
    return *mark;
}

// What the daemon could refuse a new request for by its own rules; such a request is asked for an answer.
bool may_be_refused(const wire::Lock& r) {
    constexpr std::uint32_t special = lkf::cancel | lkf::convert | lkf::quecvt | lkf::convdeadlk | lkf::orphan;
    if ((r.flags & special) != 0 || r.mode > 5 || r.cookies.ast == 0) return true;
    if ((r.flags & lkf::expedite) != 0 && ((r.flags & lkf::noqueue) != 0 || r.mode != 0)) return true;
    return (r.flags & lkf::valblk) != 0 && !r.has_lvb;
}

bool conversion_may_be_refused(const wire::Lock& r) {
    constexpr std::uint32_t special = lkf::cancel | lkf::quecvt | lkf::convdeadlk | lkf::orphan | lkf::expedite;
    if ((r.flags & special) != 0 || r.mode > 5 || r.cookies.ast == 0) return true;
    return (r.flags & lkf::valblk) != 0 && !r.has_lvb;
}

bool unlock_may_be_refused(const wire::Unlock& r) {
    constexpr std::uint32_t plain = lkf::valblk | lkf::ivvalblk | lkf::forceunlock;
    if (r.kind != wire::UnlockKind::unlock || (r.flags & ~plain) != 0) return true;
    return (r.flags & lkf::valblk) != 0 && !r.has_lvb;
}

}  // namespace

std::uint32_t thread_id() {
    static thread_local std::uint32_t id = 0, of_process = 0;
    const std::uint32_t process = current_process();
    if (process == 0 || process != of_process) id = static_cast<std::uint32_t>(::gettid());
    of_process = process;
    return id;
}

bool Handle::mine() const { return process_ != 0 && process_ == current_process(); }

int Handle::open(std::string_view name, Handle*& out) {
    Descriptor requests, callbacks;
    std::string run_dir;
    if (const int error = find_run_dir(run_dir)) return error == EUNATCH ? ENOENT : error;
    if (const int error = connect_lockspace(run_dir, name, requests)) return error;
    wire::Packet packet;
    wire::encode(wire::Message(wire::Hello{}), packet);
    if (const int error = send_packet(requests.get(), packet)) return error == ENOTCONN ? ENOENT : error;
    wire::Welcome welcome;
    if (const int error = receive_welcome(requests.get(), welcome, callbacks))
        return error == ENOTCONN ? ENOENT : error;
    void* page = ::mmap(nullptr, shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return ENOMEM;
    auto* shared = new (page) Shared;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->exchange, &attributes);
    pthread_mutexattr_destroy(&attributes);
    shared->sequence = 0;
    shared->child_calls.store(false);
    out = new (std::nothrow) Handle(name, run_dir, std::move(requests), std::move(callbacks), welcome.owner, shared);
    if (out == nullptr) ::munmap(page, shared_bytes);
    return out == nullptr ? ENOMEM : 0;
}

Handle::Handle(std::string_view name, const std::string& run_dir, Descriptor requests, Descriptor callbacks,
               std::uint64_t owner, Shared* shared)
    : process_(number_process()),
      name_(name),
      run_dir_(run_dir),
      requests_(std::move(requests)),
      callbacks_(std::move(callbacks)),
      owner_(owner),
      shared_(shared) {}

Handle::~Handle() {
    for (const int kick : spare_kicks_) ::close(kick);
    ::munmap(shared_, shared_bytes);
}

void Handle::close_sockets() {
    requests_.reset();
    callbacks_.reset();
}

bool Handle::single() const { return mine() && !shared_->child_calls.load(std::memory_order_relaxed); }

int Handle::lost() {
    lost_.store(true);
    return ENOTCONN;
}

template <class M>
int Handle::send(const M& request) {
    wire::Packet packet;
    if constexpr (std::is_same_v<M, wire::Lock> || std::is_same_v<M, wire::Unlock>) wire::encode(request, packet);
    else wire::encode(wire::Message(request), packet);
    const int error = send_packet(requests_.get(), packet);
    return error == ENOTCONN ? lost() : error;
}

template <class M>
int Handle::exchange_locked(M& request, wire::Message& answer) {
    request.sequence = ++shared_->sequence;
    if (request.sequence == 0) request.sequence = ++shared_->sequence;
    if (const int error = send(request)) return error;
    for (;;) {
        const int error = receive(requests_.get(), answer);
        if (error == ENOTCONN) return lost();
        if (error != 0) return error;
        // Another number: the answer to somebody who was killed before it came.
        if (const auto* reply = std::get_if<wire::Reply>(&answer); reply != nullptr) {
            if (reply->sequence == request.sequence) return reply->error;
        } else if (const auto* ids = std::get_if<wire::ReservedIds>(&answer); ids != nullptr) {
            if (ids->sequence == request.sequence) return 0;
        } else {
            return EPROTO;
        }
    }
}

template <class M>
int Handle::exchange(M& request, wire::Message& answer) {
    if (lost_.load()) return ENOTCONN;
    if (!mine()) shared_->child_calls.store(true);
    const Uncancelled uncancelled;
    if (pthread_mutex_lock(&shared_->exchange) == EOWNERDEAD) pthread_mutex_consistent(&shared_->exchange);
    const int error = exchange_locked(request, answer);
    pthread_mutex_unlock(&shared_->exchange);
    return error;
}

// 0 when there is none to be had.
std::uint32_t Handle::take_reserved_id() {
    {
        const Guard guard(table_mutex_);
        if (!reserved_.empty()) {
            const std::uint32_t id = reserved_.back();
            reserved_.pop_back();
            return id;
        }
    }
    wire::ReserveIds request{.sequence = 0, .count = wire::reserve_max};
    wire::Message answer;
    if (exchange(request, answer) != 0) return 0;
    const auto* ids = std::get_if<wire::ReservedIds>(&answer);
    if (ids == nullptr || ids->count == 0) return 0;
    const Guard guard(table_mutex_);
    for (std::uint32_t i = ids->count; i > 1; --i) reserved_.push_back(ids->ids[i - 1]);
    return ids->ids[0];
}

int Handle::lock(wire::Lock& request, std::uint32_t& id) {
    if (lost_.load()) return ENOTCONN;
    request.tid = thread_id();
    const bool converts = (request.flags & lkf::convert) != 0;
    std::optional<Known> before;
    bool silent = false;
    if (!converts && mine() && !may_be_refused(request)) {
        request.id = take_reserved_id();
        silent = request.id != 0;
    }
    if (silent || converts) {
        // Before the request goes out: its completion may be delivered before this call returns.
        const Guard guard(table_mutex_);
        const auto found = known_.find(request.id);
        if (found != known_.end()) before = found->second;
        if (converts) silent = before && !before->busy && single() && !conversion_may_be_refused(request);
        if (silent) known_[request.id] = Known{request.cookies, before ? before->mode : std::uint8_t{0}, true};
        else if (before) found->second.busy = true;
    }
    if (silent) {
        id = request.id;
        return send(request);
    }
    wire::Message answer;
    const int error = exchange(request, answer);
    const Guard guard(table_mutex_);
    if (error != 0) {
        const auto found = known_.find(request.id);
        if (before && found != known_.end()) found->second.busy = before->busy;
        return error;
    }
    const auto* reply = std::get_if<wire::Reply>(&answer);
    if (reply == nullptr) return EPROTO;
    if (!converts) id = reply->id;
    return 0;
}

int Handle::unlock(wire::Unlock& request, bool& completes) {
    if (lost_.load()) return ENOTCONN;
    std::optional<Known> before;
    bool silent = false;
    {
        const Guard guard(table_mutex_);
        const auto found = known_.find(request.id);
        if (found != known_.end()) {
            before = found->second;
            silent = !before->busy && single() && !unlock_may_be_refused(request);
            found->second.busy = true;
            if (request.argument != 0) found->second.cookies.argument = request.argument;
            if (request.lksb != 0) found->second.cookies.lksb = request.lksb;
            if (request.ast != 0) found->second.cookies.ast = request.ast;
        }
    }
    completes = true;
    if (silent) return send(request);
    wire::Message answer;
    const int error = exchange(request, answer);
    const auto* reply = std::get_if<wire::Reply>(&answer);
    if (error == 0 && reply == nullptr) return EPROTO;
    if (error == 0) completes = reply->completes;
    if (error != 0 || !completes) {
        const Guard guard(table_mutex_);
        const auto found = known_.find(request.id);
        if (before && found != known_.end()) found->second = *before;
    }
    return error;
}

int Handle::purge(std::int32_t node, std::int32_t pid) {
    wire::Purge request{.sequence = 0, .node = node, .pid = pid, .tid = thread_id()};
    wire::Message answer;
    const int error = exchange(request, answer);
    if (error == 0 && pid == static_cast<std::int32_t>(request.tid)) {
        const Guard guard(table_mutex_);
        known_.clear();
    }
    return error;
}

bool Handle::knows(std::uint32_t id) {
    const Guard guard(table_mutex_);
    return known_.contains(id);
}

void Handle::note(const wire::Callback& callback) {
    const Guard guard(table_mutex_);
    const auto found = known_.find(callback.id);
    if (found == known_.end()) return;
    if (callback.dead) {
        known_.erase(found);
        return;
    }
    found->second.busy = false;
    found->second.mode = callback.mode;
}

// Order of locking: the registry's mutex, receive, table, waiting.
void Handle::fork_prepare() {
    receive_mutex_.lock();
    table_mutex_.lock();
    waiting_mutex_.lock();
}

void Handle::fork_parent() {
    waiting_mutex_.unlock();
    table_mutex_.unlock();
    receive_mutex_.unlock();
}

void Handle::fork_child() {
    thread_started_ = false;
    reserved_.clear();
    waiters_.clear();
    spare_kicks_.clear();
    pthread_cond_init(&waiting_changed_, nullptr);
    waiting_mutex_.unlock();
    table_mutex_.unlock();
    receive_mutex_.unlock();
}

}  // namespace sdlm::client
