// SPDX-License-Identifier: LGPL-2.1-or-later
// Requests and polls are named to the kernel by index and generation, never by pointer: a completion of something that
// has been given up meets another generation and is dropped.
#include "disk/io/reactor.hpp"

#include <poll.h>
#include <sys/uio.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "disk/base/assert.hpp"
#include "disk/io/buffer_pool.hpp"
#include "disk/io/uring_setup.hpp"

namespace sdlm::disk {

Instant boottime_now() {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return Instant{std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec};
}

namespace {

constexpr unsigned registered_files_max = 8;
constexpr unsigned retries_max = 1000;                       // of one request that meets EINTR or EAGAIN
constexpr Duration drain_bound = milliseconds(5000);         // of the destructor's wait for I/O in flight
constexpr Duration congested_wait = milliseconds(1);         // when the kernel takes no more requests

enum class Kind : std::uint8_t { ignored = 0, disk = 1, poll = 2 };

// kind:2 | generation:30 | index:32
struct Tag {
    Kind kind = Kind::ignored;
    std::uint32_t generation = 0;
    std::uint32_t index = 0;
};
constexpr std::uint32_t generation_mask = (1U << 30) - 1;

constexpr std::uint64_t pack(Tag tag) {
    return (static_cast<std::uint64_t>(tag.kind) << 62) | (std::uint64_t{tag.generation & generation_mask} << 32) |
           tag.index;
}
constexpr Tag unpack(std::uint64_t word) {
    return Tag{static_cast<Kind>(word >> 62), static_cast<std::uint32_t>(word >> 32) & generation_mask,
               static_cast<std::uint32_t>(word)};
}
static_assert(unpack(pack({Kind::poll, 5, 7})).generation == 5 && unpack(pack({Kind::poll, 5, 7})).index == 7);

struct DiskOp {
    bool active = false;
    bool is_write = false;
    int fd = -1;
    std::uint64_t offset = 0;
    IoBuffer buffer;
    std::size_t bytes = 0;
    std::size_t transferred = 0;
    unsigned retries = 0;
    Reactor::IoDone done;
};

struct Watch {
    int fd = -1;                       // -1: free
    std::uint32_t events = 0;
    std::uint32_t generation = 0;
    bool armed = false;                // the kernel holds a poll of this generation
    bool listed = false;               // in to_arm_
    Reactor::FdReady ready;
};

struct Completion {
    Tag tag;
    int result = 0;
};

class UringReactor final : public Reactor {
public:
    explicit UringReactor(const ReactorOptions& options) : buffers_(options.buffer_bytes, options.buffer_count) {}
    ~UringReactor() override;
    UringReactor(const UringReactor&) = delete;
    UringReactor& operator=(const UringReactor&) = delete;
    Result<void> open(const ReactorOptions& options, std::string& message);

    Result<void> register_file(int fd) override;
    void unregister_file(int fd) override;
    IoBuffer take_buffer() override { return buffers_.take(); }
    void give_buffer(IoBuffer buffer) override { buffers_.give(buffer); }
    void read(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) override;
    void write(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) override;

    void watch(int fd, std::uint32_t events, FdReady ready) override;
    void change_watch(int fd, std::uint32_t events) override;
    void unwatch(int fd) override;

    void post(std::function<void()> work) override { posted_.push_back(std::move(work)); }
    void set_round_end(std::function<Instant()> round_end) override { round_end_ = std::move(round_end); }
    Instant now() const override { return now_; }
    void run() override;
    void stop() override { running_ = false; }

private:
    void register_buffers();
    io_uring_sqe* next_sqe();
    void start(DiskOp op);
    bool submit(std::uint32_t index);
    void submit_backlog();
    void submit_polls();
    void mark_to_arm(std::uint32_t index);
    void withdraw_poll(std::uint32_t index);
    void wait(Instant until);
    void collect();
    void dispatch(const Completion& completion);
    void disk_completed(std::uint32_t index, int result);
    void finish(std::uint32_t index, Result<std::size_t> result);
    void poll_completed(const Tag& tag, int result);
    void round();

    io_uring ring_{};
    bool ring_open_ = false;
    BufferPool buffers_;
    bool buffers_registered_ = false;
    bool files_registered_ = false;
    std::array<int, registered_files_max> files_{};          // index -> fd, -1: free

    std::vector<DiskOp> ops_;
    std::vector<std::uint32_t> free_ops_;
    std::size_t in_kernel_ = 0;                               // disk requests whose completion is due
    std::deque<std::uint32_t> backlog_;                       // disk requests without a place in the queue

    std::vector<Watch> watches_;
    std::vector<std::uint32_t> free_watches_;
    std::unordered_map<int, std::uint32_t> watch_of_fd_;
    std::deque<std::uint64_t> to_withdraw_;                   // tags of polls given up
    std::deque<std::uint32_t> to_arm_;

    std::vector<Completion> completions_;
    std::vector<std::function<void()>> posted_;
    std::function<Instant()> round_end_;
    Instant now_{};
    Instant wake_{};                                          // in the past: the first round does not wait
    bool running_ = false;
};

Result<void> UringReactor::open(const ReactorOptions& options, std::string& message) {
    SDLM_ASSERT(options.entries > 0);
    if (!buffers_.valid()) {
        message = "no memory for " + std::to_string(options.buffer_count) + " disk buffers of " +
                  std::to_string(options.buffer_bytes) + " bytes";
        return Error{Errc::io, ENOMEM, 0, "disk buffers"};
    }
    if (auto opened = open_ring(options.entries, ring_, message); !opened) return opened;
    ring_open_ = true;
    files_.fill(-1);
    int rc = io_uring_register_files_sparse(&ring_, registered_files_max);
    if (rc < 0) rc = io_uring_register_files(&ring_, files_.data(), registered_files_max);    // before 5.19
    files_registered_ = rc >= 0;
    register_buffers();
    now_ = boottime_now();
    return {};
}

// Plain buffers do as well: RLIMIT_MEMLOCK may forbid registering.
void UringReactor::register_buffers() {
    if (buffers_.count() == 0) return;
    std::vector<iovec> vectors;
    for (unsigned index = 0; index < buffers_.count(); ++index) {
        const IoBuffer buffer = buffers_.at(index);
        vectors.push_back({buffer.bytes.data(), buffer.bytes.size()});
    }
    buffers_registered_ = io_uring_register_buffers(&ring_, vectors.data(), buffers_.count()) == 0;
}

// The kernel may still be reading or writing the buffers: they outlive the reactor when it does not finish in time.
UringReactor::~UringReactor() {
    if (!ring_open_) return;
    const Instant give_up = boottime_now() + drain_bound;
    while (in_kernel_ > 0 && boottime_now() < give_up) {
        wait(earlier(give_up, boottime_now() + milliseconds(100)));
        collect();
        for (const Completion& completion : completions_) {
            if (completion.tag.kind == Kind::disk) --in_kernel_;
        }
    }
    if (in_kernel_ > 0) buffers_.leak();
    io_uring_queue_exit(&ring_);
}

Result<void> UringReactor::register_file(int fd) {
    SDLM_ASSERT(fd >= 0);
    if (!files_registered_) return {};
    unsigned place = 0;
    while (place < files_.size() && files_[place] != -1 && files_[place] != fd) ++place;
    if (place == files_.size()) return {};                    // used unregistered, a little slower
    const int rc = io_uring_register_files_update(&ring_, place, &fd, 1);
    if (rc == -EBADF) return Error{Errc::io, EBADF, 0, "descriptor"};
    files_[place] = rc == 1 ? fd : -1;
    return {};
}

void UringReactor::unregister_file(int fd) {
    for (unsigned place = 0; place < files_.size(); ++place) {
        if (files_[place] != fd) continue;
        int none = -1;
        io_uring_register_files_update(&ring_, place, &none, 1);
        files_[place] = -1;
    }
}

// Null when the kernel takes nothing more before completions are collected.
io_uring_sqe* UringReactor::next_sqe() {
    if (io_uring_sqe* sqe = io_uring_get_sqe(&ring_)) return sqe;
    io_uring_submit(&ring_);
    return io_uring_get_sqe(&ring_);
}

void UringReactor::read(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) {
    start(DiskOp{true, false, fd, offset, buffer, bytes, 0, 0, std::move(done)});
}

void UringReactor::write(int fd, std::uint64_t offset, IoBuffer buffer, std::size_t bytes, IoDone done) {
    start(DiskOp{true, true, fd, offset, buffer, bytes, 0, 0, std::move(done)});
}

void UringReactor::start(DiskOp op) {
    SDLM_ASSERT(op.bytes > 0);
    SDLM_ASSERT(op.bytes <= op.buffer.bytes.size());
    SDLM_ASSERT(op.bytes <= UINT32_MAX);
    buffers_.set_in_flight(op.buffer);
    if (free_ops_.empty()) {
        free_ops_.push_back(static_cast<std::uint32_t>(ops_.size()));
        ops_.emplace_back();
    }
    const std::uint32_t index = free_ops_.back();
    free_ops_.pop_back();
    ops_[index] = std::move(op);
    if (!backlog_.empty() || !submit(index)) backlog_.push_back(index);
}

bool UringReactor::submit(std::uint32_t index) {
    io_uring_sqe* sqe = next_sqe();
    if (sqe == nullptr) return false;
    const DiskOp& op = ops_[index];
    int fd = op.fd;
    bool fixed_file = false;
    for (unsigned place = 0; place < files_.size() && !fixed_file; ++place) {
        if (files_[place] != op.fd) continue;
        fd = static_cast<int>(place);
        fixed_file = true;
    }
    std::byte* at = op.buffer.bytes.data() + op.transferred;
    const auto left = static_cast<unsigned>(op.bytes - op.transferred);
    const std::uint64_t offset = op.offset + op.transferred;
    if (buffers_registered_ && op.is_write) io_uring_prep_write_fixed(sqe, fd, at, left, offset, op.buffer.index);
    else if (buffers_registered_) io_uring_prep_read_fixed(sqe, fd, at, left, offset, op.buffer.index);
    else if (op.is_write) io_uring_prep_write(sqe, fd, at, left, offset);
    else io_uring_prep_read(sqe, fd, at, left, offset);
    if (fixed_file) io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data64(sqe, pack({Kind::disk, 0, index}));
    ++in_kernel_;
    return true;
}

void UringReactor::submit_backlog() {
    while (!backlog_.empty() && submit(backlog_.front())) backlog_.pop_front();
}

void UringReactor::watch(int fd, std::uint32_t events, FdReady ready) {
    SDLM_ASSERT(fd >= 0);
    SDLM_ASSERT(!watch_of_fd_.contains(fd));
    if (free_watches_.empty()) {
        free_watches_.push_back(static_cast<std::uint32_t>(watches_.size()));
        watches_.emplace_back();
    }
    const std::uint32_t index = free_watches_.back();
    free_watches_.pop_back();
    Watch& watch = watches_[index];
    watch.fd = fd;
    watch.events = events;
    watch.ready = std::move(ready);
    watch_of_fd_.emplace(fd, index);
    mark_to_arm(index);
}

void UringReactor::mark_to_arm(std::uint32_t index) {
    if (watches_[index].listed) return;
    watches_[index].listed = true;
    to_arm_.push_back(index);
}

// After this, whatever the kernel still says about the old poll meets another generation.
void UringReactor::withdraw_poll(std::uint32_t index) {
    Watch& watch = watches_[index];
    if (watch.armed) to_withdraw_.push_back(pack({Kind::poll, watch.generation, index}));
    watch.armed = false;
    watch.generation = (watch.generation + 1) & generation_mask;
}

void UringReactor::change_watch(int fd, std::uint32_t events) {
    const auto found = watch_of_fd_.find(fd);
    SDLM_ASSERT(found != watch_of_fd_.end());
    Watch& watch = watches_[found->second];
    if (watch.events == events) return;
    watch.events = events;
    if (!watch.armed) return;                                 // inside its own callback: armed again afterwards
    withdraw_poll(found->second);
    mark_to_arm(found->second);
}

void UringReactor::unwatch(int fd) {
    const auto found = watch_of_fd_.find(fd);
    if (found == watch_of_fd_.end()) return;
    const std::uint32_t index = found->second;
    watch_of_fd_.erase(found);
    withdraw_poll(index);
    watches_[index].fd = -1;
    watches_[index].ready = nullptr;
    free_watches_.push_back(index);
}

// Withdrawals first: the descriptor's number may have been taken by another file that is to be polled.
void UringReactor::submit_polls() {
    while (!to_withdraw_.empty()) {
        io_uring_sqe* sqe = next_sqe();
        if (sqe == nullptr) return;
        io_uring_prep_poll_remove(sqe, to_withdraw_.front());
        io_uring_sqe_set_data64(sqe, pack({}));
        to_withdraw_.pop_front();
    }
    while (!to_arm_.empty()) {
        Watch& watch = watches_[to_arm_.front()];
        if (watch.fd >= 0 && !watch.armed) {
            io_uring_sqe* sqe = next_sqe();
            if (sqe == nullptr) return;
            io_uring_prep_poll_add(sqe, watch.fd, watch.events);
            io_uring_sqe_set_data64(sqe, pack({Kind::poll, watch.generation, to_arm_.front()}));
            watch.armed = true;
        }
        watch.listed = false;
        to_arm_.pop_front();
    }
}

void UringReactor::wait(Instant until) {
    __kernel_timespec span{};
    __kernel_timespec* bound = nullptr;
    if (until != never) {
        const Instant now = boottime_now();
        const std::int64_t ns = until > now ? (until - now).ns : 0;
        span.tv_sec = ns / 1'000'000'000;
        span.tv_nsec = ns % 1'000'000'000;
        bound = &span;
    }
    io_uring_cqe* first = nullptr;
    const int rc = io_uring_submit_and_wait_timeout(&ring_, &first, 1, bound, nullptr);
    if (rc >= 0 || rc == -ETIME || rc == -EINTR) return;
    // Short of memory, or completions have to be collected before the kernel takes more.
    if (rc == -EAGAIN || rc == -EBUSY) {
        const timespec pause{0, congested_wait.ns};
        if (io_uring_cq_ready(&ring_) == 0) ::nanosleep(&pause, nullptr);
        return;
    }
    // EBADR (completions lost), EEXIST (another thread): going on would hang or break an owner's rule.
    std::fprintf(stderr, "io_uring_enter: %s\n", std::strerror(-rc));
    SDLM_UNREACHABLE();
}

void UringReactor::collect() {
    completions_.clear();
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
        completions_.push_back({unpack(cqe->user_data), cqe->res});
        ++count;
    }
    io_uring_cq_advance(&ring_, count);
}

void UringReactor::dispatch(const Completion& completion) {
    switch (completion.tag.kind) {
        case Kind::disk: return disk_completed(completion.tag.index, completion.result);
        case Kind::poll: return poll_completed(completion.tag, completion.result);
        case Kind::ignored: return;
    }
    SDLM_UNREACHABLE();
}

void UringReactor::disk_completed(std::uint32_t index, int result) {
    SDLM_ASSERT(index < ops_.size());
    DiskOp& op = ops_[index];
    SDLM_ASSERT(op.active);
    SDLM_ASSERT(in_kernel_ > 0);
    --in_kernel_;
    const std::uint64_t offset = op.offset + op.transferred;
    if ((result == -EINTR || result == -EAGAIN) && ++op.retries <= retries_max) {
        backlog_.push_back(index);
        return;
    }
    if (result < 0) return finish(index, Error{Errc::io, -result, offset, nullptr});
    if (result == 0) return finish(index, Error{Errc::short_transfer, 0, offset, nullptr});
    op.transferred += static_cast<std::size_t>(result);
    if (op.transferred < op.bytes) {
        backlog_.push_back(index);
        return;
    }
    finish(index, op.transferred);
}

void UringReactor::finish(std::uint32_t index, Result<std::size_t> result) {
    DiskOp op = std::move(ops_[index]);
    ops_[index] = DiskOp{};
    free_ops_.push_back(index);
    buffers_.set_landed(op.buffer);
    op.done(std::move(result));
}

void UringReactor::poll_completed(const Tag& tag, int result) {
    SDLM_ASSERT(tag.index < watches_.size());
    const auto current = [&] {
        return watches_[tag.index].fd >= 0 && watches_[tag.index].generation == tag.generation;
    };
    if (!current()) return;
    Watch& watch = watches_[tag.index];
    watch.armed = false;
    if (result == -ECANCELED || result == -EAGAIN || result == -ENOMEM || result == 0) return mark_to_arm(tag.index);
    const bool broken = result < 0;
    const auto revents = broken ? static_cast<std::uint32_t>(POLLERR | POLLNVAL) : static_cast<std::uint32_t>(result);
    // The callback may end or replace this watch, and watches_ may grow.
    FdReady ready = std::move(watch.ready);
    ready(revents);
    if (!current()) return;
    watches_[tag.index].ready = std::move(ready);
    if (!broken) mark_to_arm(tag.index);
}

void UringReactor::round() {
    submit_backlog();
    submit_polls();
    Instant until = posted_.empty() ? wake_ : now_;
    if (!backlog_.empty() || !to_arm_.empty() || !to_withdraw_.empty())
        until = earlier(until, boottime_now() + congested_wait);
    wait(until);
    now_ = boottime_now();
    collect();
    for (const Completion& completion : completions_) dispatch(completion);
    for (auto& work : std::exchange(posted_, {})) work();
    wake_ = round_end_ ? round_end_() : never;
}

void UringReactor::run() {
    running_ = true;
    wake_ = boottime_now();
    while (running_) round();
}

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::create(const ReactorOptions& options, std::string& message) {
    auto reactor = std::make_unique<UringReactor>(options);
    if (auto opened = reactor->open(options, message); !opened) return opened.error();
    return std::unique_ptr<Reactor>(std::move(reactor));
}

}  // namespace sdlm::disk
