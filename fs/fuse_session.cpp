// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/fuse_session.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "disk/base/assert.hpp"
#include "fs/mount_point.hpp"

namespace sdlm::fs {

namespace {

constexpr int requests_per_wakeup_max = 64;    // then the disk and the other descriptors have their turn

// libfuse explains failures of mounting in its log only: while one of these lives, the log is kept for the message.
// The daemon is single-threaded.
class LibraryText {
public:
    LibraryText() { kept() = this; }
    ~LibraryText() { kept() = nullptr; }
    LibraryText(const LibraryText&) = delete;
    LibraryText& operator=(const LibraryText&) = delete;
    std::string or_else(const char* text) const { return text_.empty() ? text : text_; }

    static void log(fuse_log_level, const char* format, va_list arguments) {
        std::array<char, 512> line{};
        std::vsnprintf(line.data(), line.size(), format, arguments);
        LibraryText* const keeper = kept();
        if (keeper == nullptr) {
            std::fputs(line.data(), stderr);
            return;
        }
        keeper->text_ += line.data();
        while (!keeper->text_.empty() && keeper->text_.back() == '\n') keeper->text_.pop_back();
    }

private:
    static LibraryText*& kept() {
        static LibraryText* instance = nullptr;
        return instance;
    }
    std::string text_;
};

Creation root_creation() {
    return {.mode = 0755, .uid = ::getuid(), .gid = ::getgid(), .now = std::time(nullptr)};
}

}  // namespace

FuseSession::FuseSession(disk::Reactor& reactor, locks::LockPort& port, MountOptions options)
    : reactor_(reactor), options_(std::move(options)), model_(port, *this, root_creation()) {}

FuseSession::~FuseSession() {
    *alive_ = false;
    unmount();
    if (session_ != nullptr) fuse_session_destroy(session_);
    if (timer_fd_ >= 0) {
        reactor_.unwatch(timer_fd_);
        ::close(timer_fd_);
    }
    std::free(buffer_.mem);
}

Result<void> FuseSession::open(std::string& message) {
    timer_fd_ = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer_fd_ < 0) {
        const int error = errno;
        message = std::string("timerfd_create: ") + std::strerror(error) + "; raise the limit of open files";
        return Error{Errc::io, error, 0, "timer"};
    }
    fuse_set_log_func(LibraryText::log);
    const LibraryText said;
    fuse_args arguments = FUSE_ARGS_INIT(0, nullptr);
    char* list = nullptr;
    const std::string source = "fsname=" + (options_.fsname.empty() ? std::string("sdlm") : options_.fsname);
    int failed = fuse_opt_add_arg(&arguments, "dlmfs");
    failed |= fuse_opt_add_opt(&list, "subtype=dlmfs,default_permissions,nosuid,nodev,noexec");
    failed |= fuse_opt_add_opt_escaped(&list, source.c_str());
    if (options_.allow_other.value_or(::geteuid() == 0)) failed |= fuse_opt_add_opt(&list, "allow_other");
    failed |= fuse_opt_add_arg(&arguments, "-o");
    failed |= list == nullptr ? -1 : fuse_opt_add_arg(&arguments, list);
    if (failed == 0) session_ = fuse_session_new(&arguments, &fuse_operations(), sizeof(fuse_lowlevel_ops), this);
    std::free(list);
    fuse_opt_free_args(&arguments);
    if (session_ != nullptr) return {};
    message = "FUSE session not created: " + said.or_else("out of memory");
    return Error{Errc::io, ENOMEM, 0, "fuse"};
}

Result<void> FuseSession::mount(std::string& message) {
    SDLM_ASSERT(session_ != nullptr && !mounted_);
    auto point = usable_mount_point(options_.path, message);
    if (!point) return point.error();
    const LibraryText said;
    errno = 0;
    if (fuse_session_mount(session_, point->c_str()) != 0) {
        const int error = errno == 0 ? EIO : errno;
        message = *point + ": mounting failed: " + said.or_else(std::strerror(error)) +
                  "; /dev/fuse must exist (modprobe fuse) and the daemon may need to be root";
        return Error{Errc::io, error, 0, "mount"};
    }
    const int fd = fuse_session_fd(session_);
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        const int error = errno;
        message = *point + ": the FUSE channel cannot be made non-blocking: " + std::strerror(error);
        fuse_session_unmount(session_);
        return Error{Errc::io, error, 0, "mount"};
    }
    mounted_ = true;
    reactor_.watch(fd, POLLIN, [this](std::uint32_t) { readable(); });
    reactor_.watch(timer_fd_, POLLIN, [this](std::uint32_t) { timer_fired(); });
    return {};
}

void FuseSession::readable() {
    for (int i = 0; i < requests_per_wakeup_max && mounted_; ++i) {
        const int bytes = fuse_session_receive_buf(session_, &buffer_);
        if (bytes == -EINTR) continue;
        if (bytes == -EAGAIN) return;
        if (bytes <= 0) return ended_by_kernel();
        drain_events();   // the model must not act on a demand that the node has answered already
        fuse_session_process_buf(session_, &buffer_);
        deliver();
    }
}

void FuseSession::granted(locks::Handle handle, locks::Mode mode, const locks::Lvb&) {
    take_event(Granted{handle, mode});
}
void FuseSession::refused(locks::Handle handle, locks::Refusal why) { take_event(Refused{handle, why}); }
void FuseSession::blocked(locks::Handle handle, locks::Mode mode) { take_event(Blocked{handle, mode}); }
void FuseSession::lease_lost() { take_event(LeaseLost{}); }

// The port may be in the middle of its own work: nothing is asked of it from inside an event.
void FuseSession::take_event(LockEvent event) {
    events_.push_back(event);
    schedule_work();
}

void FuseSession::act_on(const LockEvent& event) {
    if (const auto* granted = std::get_if<Granted>(&event)) model_.granted(granted->handle, granted->mode);
    else if (const auto* refused = std::get_if<Refused>(&event)) model_.refused(refused->handle, refused->why);
    else if (const auto* blocked = std::get_if<Blocked>(&event)) model_.blocked(blocked->handle, blocked->mode);
    else model_.lease_lost();
}

void FuseSession::drain_events() {
    for (const LockEvent& event : std::exchange(events_, {})) act_on(event);
}

void FuseSession::schedule_work() {
    if (work_scheduled_) return;
    work_scheduled_ = true;
    reactor_.post([this, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired() && *alive.lock()) work();
    });
}

void FuseSession::work() {
    work_scheduled_ = false;
    if (!mounted_) return;
    drain_events();
    deliver();
    for (const OpenId id : std::exchange(interrupts_, {})) {
        if (model_.withdraw(id)) answer({id, EINTR});
    }
    deliver();
    notify_wakes();
}

void FuseSession::request_open(fuse_req_t request, Ino ino, int flags) {
    const OpenId id = ++next_open_;
    const bool read_only = (flags & O_ACCMODE) == O_RDONLY;
    const OpenMode mode{.level = read_only ? locks::Mode::PR : locks::Mode::EX, .nonblock = (flags & O_NONBLOCK) != 0};
    auto made = std::make_unique<PendingOpen>(PendingOpen{this, request, id});
    PendingOpen& pending = *pending_.emplace(id, std::move(made)).first->second;
    if (const int error = model_.open(ino, id, mode); error != 0) return answer({id, error});
    deliver();
    if (!model_.waiting(id)) return;
    fuse_req_interrupt_func(request, interrupted, &pending);   // called back at once when the signal has come already
    if (mode.nonblock) add_deadline(id);
}

// libfuse calls this with the request locked: the answer comes from posted work.
void FuseSession::interrupted(fuse_req_t, void* pending) {
    const auto* open = static_cast<const PendingOpen*>(pending);
    open->session->interrupts_.push_back(open->id);
    open->session->schedule_work();
}

void FuseSession::deliver() {
    for (Effects due = model_.take_effects(); !due.answers.empty() || !due.wakes.empty(); due = model_.take_effects()) {
        for (const OpenAnswer& open : due.answers) answer(open);
        wakes_.insert(wakes_.end(), due.wakes.begin(), due.wakes.end());
    }
    if (!wakes_.empty()) schedule_work();
}

void FuseSession::answer(const OpenAnswer& answer) {
    const auto at = pending_.find(answer.open);
    if (at == pending_.end()) return;
    const std::unique_ptr<PendingOpen> pending = std::move(at->second);
    pending_.erase(at);
    if (answer.error != 0) {
        fuse_reply_err(pending->request, answer.error);
        return;
    }
    fuse_file_info info{};
    info.fh = answer.open;
    info.direct_io = 1;
    info.noflush = 1;        // a program that is killed must end also while nobody answers here
    if (options_.hold) holds_.emplace(answer.open, options_.hold(fuse_req_ctx(pending->request)->pid));
    if (fuse_reply_open(pending->request, &info) == 0) return;
    // The kernel has given the call up: no RELEASE will follow.
    drop_hold(answer.open);
    model_.release(answer.open);
}

void FuseSession::drop_hold(OpenId id) {
    const auto at = holds_.find(id);
    if (at == holds_.end()) return;
    options_.drop(at->second);
    holds_.erase(at);
}

void FuseSession::release_open(OpenId id) {
    if (const auto at = poll_handles_.find(id); at != poll_handles_.end()) {
        fuse_pollhandle_destroy(at->second);
        poll_handles_.erase(at);
    }
    drop_hold(id);
    model_.release(id);
}

void FuseSession::add_deadline(OpenId id) {
    deadlines_.push_back({reactor_.now() + options_.trylock_bound, id});
    if (deadlines_.size() == 1) arm_timer();
}

void FuseSession::arm_timer() {
    while (!deadlines_.empty() && !model_.waiting(deadlines_.front().id)) deadlines_.pop_front();
    itimerspec when{};   // all zero: disarmed
    if (!deadlines_.empty()) {
        const std::int64_t ns = deadlines_.front().at.ns;
        when.it_value.tv_sec = ns / 1'000'000'000;
        when.it_value.tv_nsec = ns % 1'000'000'000;
    }
    ::timerfd_settime(timer_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
}

void FuseSession::timer_fired() {
    std::uint64_t count = 0;
    if (::read(timer_fd_, &count, sizeof count) < 0 && errno != EAGAIN) SDLM_UNREACHABLE();
    drain_events();
    const Instant now = disk::boottime_now();
    while (!deadlines_.empty() && deadlines_.front().at <= now) {
        model_.expire(deadlines_.front().id);
        deadlines_.pop_front();
    }
    deliver();
    arm_timer();
}

void FuseSession::keep_poll_handle(OpenId id, fuse_pollhandle* handle) {
    fuse_pollhandle*& kept = poll_handles_[id];
    if (kept != nullptr) fuse_pollhandle_destroy(kept);   // all handles of one descriptor wake the same pollers
    kept = handle;
}

void FuseSession::notify_wakes() {
    for (const OpenId id : std::exchange(wakes_, {})) {
        const auto at = poll_handles_.find(id);
        if (at == poll_handles_.end()) continue;
        fuse_lowlevel_notify_poll(at->second);
        fuse_pollhandle_destroy(at->second);
        poll_handles_.erase(at);
    }
}

std::uint64_t FuseSession::open_listing(Ino directory) {
    listings_.emplace(++next_listing_, Listing{directory, {}});
    return next_listing_;
}

// A listing is one picture of the directory from its first read on, so removing while reading skips nothing.
const std::vector<Entry>* FuseSession::listing(std::uint64_t id, bool anew) {
    const auto at = listings_.find(id);
    if (at == listings_.end()) return nullptr;
    if (anew) at->second.entries = model_.list(at->second.directory).value;
    return &at->second.entries;
}

void FuseSession::finish() {
    const int fd = fuse_session_fd(session_);
    reactor_.unwatch(fd);
    reactor_.unwatch(timer_fd_);
    drain_events();
    model_.shut_down();
    deliver();
    SDLM_ASSERT(pending_.empty());
    for (const auto& [id, handle] : poll_handles_) fuse_pollhandle_destroy(handle);
    poll_handles_.clear();
    while (!holds_.empty()) drop_hold(holds_.begin()->first);
    listings_.clear();
    deadlines_.clear();
    mounted_ = false;
}

void FuseSession::unmount() {
    if (!mounted_) return;
    finish();
    fuse_session_unmount(session_);
}

void FuseSession::ended_by_kernel() {
    finish();
    fuse_session_unmount(session_);   // only closes the channel: the kernel says that the mount is gone
    reactor_.post([this, alive = std::weak_ptr<bool>(alive_)] {
        if (alive.expired() || !*alive.lock()) return;
        if (const auto callback = std::exchange(on_unmounted_, nullptr)) callback();
    });
}

}  // namespace sdlm::fs
