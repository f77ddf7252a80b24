// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/handle.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <optional>

#include "locks/dlm/flags.hpp"

namespace sdlm::client {

namespace lkf = dlm::lkf;

struct Handle::Shared {
    // Robust, both: a child may be killed between request and answer, or while it takes a callback.
    pthread_mutex_t exchange;
    pthread_mutex_t head;
    std::uint32_t sequence;
    // Under `head`: which packet is at the head of the callback socket, and how much of it has been delivered.
    std::uint64_t head_number;
    std::size_t head_offset;
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

void lock_robust(pthread_mutex_t& mutex) {
    if (pthread_mutex_lock(&mutex) == EOWNERDEAD) pthread_mutex_consistent(&mutex);
}

std::uint64_t inode_of(int fd) {
    struct stat status {};
    return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

// Null when there is none, or no room for it.
void* map_ring(const Descriptor& fd) {
    if (!fd) return nullptr;
    void* memory = ::mmap(nullptr, wire::ring_mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    return memory == MAP_FAILED ? nullptr : memory;
}

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
    Descriptor requests, callbacks, ring;
    std::string run_dir;
    if (const int error = find_run_dir(run_dir)) return error == EUNATCH ? ENOENT : error;
    if (const int error = connect_lockspace(run_dir, name, requests)) return error;
    wire::Packet packet;
    wire::encode(wire::Message(wire::Hello{}), packet);
    if (const int error = send_packet(requests.get(), packet)) return error == ENOTCONN ? ENOENT : error;
    wire::Welcome welcome;
    if (const int error = receive_welcome(requests.get(), welcome, callbacks, ring))
        return error == ENOTCONN ? ENOENT : error;
    void* page = ::mmap(nullptr, shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return ENOMEM;
    auto* shared = new (page) Shared;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&shared->exchange, &attributes);
    pthread_mutex_init(&shared->head, &attributes);
    pthread_mutexattr_destroy(&attributes);
    shared->sequence = 0;
    shared->head_number = 1;
    shared->head_offset = 0;
    shared->child_calls.store(false);
    void* memory = map_ring(ring);
    out = new (std::nothrow)
        Handle(name, run_dir, std::move(requests), std::move(callbacks), memory, welcome.owner, shared);
    if (out != nullptr) return 0;
    ::munmap(page, shared_bytes);
    if (memory != nullptr) ::munmap(memory, wire::ring_mapping_bytes);
    return ENOMEM;
}

Handle::Handle(std::string_view name, const std::string& run_dir, Descriptor requests, Descriptor callbacks,
               void* ring, std::uint64_t owner, Shared* shared)
    : process_(number_process()),
      name_(name),
      run_dir_(run_dir),
      requests_(std::move(requests)),
      callbacks_(std::move(callbacks)),
      callbacks_inode_(inode_of(callbacks_.get())),
      owner_(owner),
      shared_(shared),
      ring_memory_(ring),
      ring_(ring != nullptr ? wire::RingWriter(ring) : wire::RingWriter()) {}

Handle::~Handle() {
    for (const int kick : spare_kicks_) ::close(kick);
    ::munmap(shared_, shared_bytes);
    if (ring_memory_ != nullptr) ::munmap(ring_memory_, wire::ring_mapping_bytes);
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
int Handle::submit(const M& request) {
    if (!ring_) return send(request);
    wire::Packet packet;
    wire::encode(request, packet);
    for (;;) {
        auto put = wire::RingWriter::Put::full;
        {
            const Guard guard(ring_mutex_);
            put = ring_.put(packet.span(), under_way_.load(std::memory_order_relaxed));
        }
        if (put == wire::RingWriter::Put::done) return 0;
        wire::Doorbell bell;
        if (put == wire::RingWriter::Put::ring_bell) {
            const Uncancelled uncancelled;       // a bell that is not rung would leave later requests unseen
            return send(bell);
        }
        wire::Message answer;
        if (const int error = exchange(bell, answer)) return error;
    }
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
    lock_robust(shared_->exchange);
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
        if (lost_.load()) return ENOTCONN;       // else end_of_callbacks() finds it in the table
        const auto found = known_.find(request.id);
        if (found != known_.end()) before = found->second;
        if (converts) silent = before && !before->busy && single() && !conversion_may_be_refused(request);
        if (silent) {
            id = request.id;                     // under the mutex: note() in another thread comes after it
            Known& known = known_[request.id];
            known.cookies = request.cookies;
            mark(known, true);
        } else if (before) {
            mark(found->second, true);
        }
    }
    if (silent) {
        const int error = submit(request);
        if (error != 0) forget(request.id);
        return error;
    }
    wire::Message answer;
    const int error = exchange(request, answer);
    const Guard guard(table_mutex_);
    if (error != 0) {
        const auto found = known_.find(request.id);
        if (before && found != known_.end()) mark(found->second, before->busy);
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
        if (lost_.load()) return ENOTCONN;
        const auto found = known_.find(request.id);
        if (found != known_.end()) {
            before = found->second;
            silent = !before->busy && single() && !unlock_may_be_refused(request);
            mark(found->second, true);
            if (request.argument != 0) found->second.cookies.argument = request.argument;
            if (request.lksb != 0) found->second.cookies.lksb = request.lksb;
            if (request.ast != 0) found->second.cookies.ast = request.ast;
        }
    }
    completes = true;
    if (silent) {
        const int error = submit(request);
        if (error != 0) forget(request.id);
        return error;
    }
    wire::Message answer;
    const int error = exchange(request, answer);
    const auto* reply = std::get_if<wire::Reply>(&answer);
    if (error == 0 && reply == nullptr) return EPROTO;
    if (error == 0) completes = reply->completes;
    if (error != 0 || !completes) {
        const Guard guard(table_mutex_);
        const auto found = known_.find(request.id);
        if (before && found != known_.end()) {
            mark(found->second, before->busy);
            found->second = *before;
        }
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
        under_way_.store(0);
    }
    return error;
}

// The connection is lost and the caller is told: no completion is made for this operation.
void Handle::forget(std::uint32_t id) {
    const Guard guard(table_mutex_);
    const auto found = known_.find(id);
    if (found == known_.end()) return;
    mark(found->second, false);
    known_.erase(found);
}

void Handle::mark(Known& known, bool busy) {
    if (known.busy == busy) return;
    known.busy = busy;
    under_way_.fetch_add(busy ? 1U : ~0U, std::memory_order_relaxed);
}

bool Handle::knows(std::uint32_t id) {
    const Guard guard(table_mutex_);
    return known_.contains(id);
}

// The packet stays in the socket until its last callback is taken: so the descriptor is readable exactly while there is
// something to deliver, for every thread and process that looks.
int Handle::next_callback_locked(wire::Callback& callback) {
    if (head_number_ != shared_->head_number) {
        if (const int error = receive_callbacks(callbacks_.get(), head_, Leave::in_socket)) return error;
        head_number_ = shared_->head_number;
    }
    std::size_t taken = 0;
    const bool inside = shared_->head_offset < head_.size;
    const char* problem = "an offset beyond the packet";
    if (inside) problem = wire::decode_first(head_.span().subspan(shared_->head_offset), callback, taken);
    shared_->head_offset += taken;
    if (problem == nullptr && shared_->head_offset < head_.size) return 0;
    shared_->head_offset = 0;
    ++shared_->head_number;
    drop_callbacks(callbacks_.get());
    return problem == nullptr ? 0 : EPROTO;
}

int Handle::next_callback(wire::Callback& callback) {
    const Uncancelled uncancelled;
    lock_robust(shared_->head);
    const int error = next_callback_locked(callback);
    pthread_mutex_unlock(&shared_->head);
    return error;
}

void Handle::note(const wire::Callback& callback) {
    const Guard guard(table_mutex_);
    const auto found = known_.find(callback.id);
    if (found == known_.end()) return;
    mark(found->second, false);
    if (callback.dead) known_.erase(found);
}

// Order of locking: the registry's mutex, receive, table, waiting; a child does not use the ring.
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
