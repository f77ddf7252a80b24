// SPDX-License-Identifier: LGPL-2.1-or-later
// fault_disk BACKING DIRECTORY SOCKET: serves BACKING as DIRECTORY/disk.img and takes commands, one a line, on SOCKET:
//   add RULE (see fault_disk_rules.hpp) | clear [ID] | truncate BYTES | vanish | swap BACKING | status
// each answered by a line "ok ..." or "error ...". It never leaves anybody waiting: what hangs is answered with EIO at
// its end, and the kernel aborts the connection when it is killed. A program that is killed while its request hangs is
// let go at once; the write lands when the rule goes, as that of a dead host would.
#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <sstream>
#include <vector>

#include "tests/support/fault_disk_rules.hpp"

namespace sdlm::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr fuse_ino_t image_ino = 2;
constexpr char image_name[] = "disk.img";
constexpr unsigned write_bytes_max = 1024 * 1024;
constexpr unsigned in_flight_max = 1024;
constexpr std::size_t line_bytes_max = 4096;

// Other views write the same backing file: a request is one step for all of them, as a disk's blocks are.
class WholeStep {
public:
    WholeStep(int fd, int operation) : fd_(fd) { ::flock(fd_, operation); }
    ~WholeStep() { ::flock(fd_, LOCK_UN); }
    WholeStep(const WholeStep&) = delete;
    WholeStep& operator=(const WholeStep&) = delete;

private:
    int fd_;
};

struct Request {
    fuse_req_t fuse = nullptr;               // null: its program has gone
    bool is_write = false;
    std::uint64_t at = 0;
    std::size_t bytes = 0;
    std::vector<char> content;               // of a write
    Verdict verdict;
    bool landed = false;
    Clock::time_point due{};                 // of a delayed one
};

class Disk {
public:
    bool open(const std::string& backing);
    void take(Request request);
    std::string command(const std::string& line);
    void interrupted(fuse_req_t fuse);
    int until_next_due() const;              // ms, -1: nothing is delayed
    void answer_due();
    void fail_all();
    bool vanished() const { return vanished_; }
    std::uint64_t bytes() const { return bytes_; }
    ~Disk() { ::close(fd_); }

private:
    void release(unsigned rule);             // 0: all
    void land(Request& request);
    void finish(Request& request);
    void answer(fuse_req_t fuse, int error) { if (fuse != nullptr) fuse_reply_err(fuse, error); }
    std::string status() const;

    int fd_ = -1;
    std::uint64_t bytes_ = 0;
    bool vanished_ = false;
    FaultRules rules_;
    std::list<Request> hung_, delayed_;
    std::uint64_t reads_ = 0, writes_ = 0;
};

bool Disk::open(const std::string& backing) {
    const int fd = ::open(backing.c_str(), O_RDWR | O_CLOEXEC);
    struct stat status{};
    if (fd < 0 || ::fstat(fd, &status) != 0) return false;
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    bytes_ = static_cast<std::uint64_t>(status.st_size);
    return true;
}

void Disk::take(Request request) {
    ++(request.is_write ? writes_ : reads_);
    if (vanished_) return answer(request.fuse, ENODEV);
    request.verdict = rules_.judge({request.is_write, {request.at, request.bytes}});
    if (request.verdict.lands_first) land(request);
    if (request.verdict.hung_by != 0) {
        hung_.push_back(std::move(request));
    } else if (request.verdict.delay_ms != 0) {
        request.due = Clock::now() + std::chrono::milliseconds(request.verdict.delay_ms);
        delayed_.push_back(std::move(request));
    } else {
        finish(request);
    }
}

void Disk::land(Request& request) {
    const Verdict& verdict = request.verdict;
    if (!request.is_write || request.landed || !verdict.lands) return;
    request.landed = true;
    const std::uint64_t at = request.at + static_cast<std::uint64_t>(verdict.shift_bytes);
    const std::size_t bytes = std::min<std::uint64_t>(request.bytes, verdict.land_bytes);
    const WholeStep step(fd_, LOCK_EX);
    if (at > bytes_ || bytes > bytes_ - at) {
        request.verdict.error = ENOSPC;
    } else if (::pwrite(fd_, request.content.data(), bytes, static_cast<off_t>(at)) != static_cast<ssize_t>(bytes)) {
        request.verdict.error = EIO;
    }
}

void Disk::finish(Request& request) {
    land(request);
    const Verdict& verdict = request.verdict;
    if (request.fuse == nullptr) return;
    if (verdict.error != 0) return answer(request.fuse, verdict.error);
    if (request.is_write) {
        fuse_reply_write(request.fuse, request.bytes);
        return;
    }
    const std::size_t bytes = request.at >= bytes_ ? 0 : std::min<std::uint64_t>(request.bytes, bytes_ - request.at);
    std::vector<char> content(bytes);
    const WholeStep step(fd_, LOCK_SH);
    const ssize_t n = ::pread(fd_, content.data(), bytes, static_cast<off_t>(request.at));
    if (n < 0) return answer(request.fuse, EIO);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
        for (const ByteRange& bad : verdict.corrupted)
            if (bad.touches({request.at + i, 1})) content[i] = static_cast<char>(~content[i]);
    fuse_reply_buf(request.fuse, content.data(), static_cast<std::size_t>(n));
}

void Disk::release(unsigned rule) {
    std::list<Request> freed;
    for (auto it = hung_.begin(); it != hung_.end();) {
        const auto next = std::next(it);
        if (rule == 0 || it->verdict.hung_by == rule) freed.splice(freed.end(), hung_, it);
        it = next;
    }
    for (Request& request : freed) finish(request);
}

void Disk::interrupted(fuse_req_t fuse) {
    for (Request& request : hung_) {
        if (request.fuse != fuse) continue;
        request.fuse = nullptr;
        return answer(fuse, EINTR);
    }
}

int Disk::until_next_due() const {
    int soonest = -1;
    for (const Request& request : delayed_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(request.due - Clock::now()).count();
        const int ms = left > 0 ? static_cast<int>(left) : 0;
        if (soonest < 0 || ms < soonest) soonest = ms;
    }
    return soonest;
}

void Disk::answer_due() {
    for (auto it = delayed_.begin(); it != delayed_.end();) {
        if (it->due > Clock::now()) {
            ++it;
            continue;
        }
        finish(*it);
        it = delayed_.erase(it);
    }
}

void Disk::fail_all() {
    for (std::list<Request>* list : {&hung_, &delayed_}) {
        for (const Request& request : *list) answer(request.fuse, EIO);
        list->clear();
    }
}

std::string Disk::status() const {
    std::ostringstream out;
    out << "reads=" << reads_ << " writes=" << writes_ << " hung=" << hung_.size() << " delayed=" << delayed_.size();
    for (const FaultRule& rule : rules_.rules()) out << " rule." << rule.id << "=" << rule.hits;
    return out.str();
}

std::string Disk::command(const std::string& line) {
    std::istringstream words(line);
    std::string verb, rest, problem;
    words >> verb;
    std::getline(words >> std::ws, rest);
    if (verb == "status") return "ok " + status();
    if (verb == "add") {
        const unsigned id = rules_.add(rest, problem);
        return id != 0 ? "ok " + std::to_string(id) : "error " + problem;
    }
    if (verb == "clear" && rest.empty()) {
        rules_.remove_all();
        release(0);
        return "ok";
    }
    if (verb == "vanish") {
        vanished_ = true;
        for (Request& request : hung_) request.verdict.error = ENODEV, request.verdict.lands = false;
        release(0);
        return "ok";
    }
    if (verb == "swap") return open(rest) ? "ok" : "error " + rest + ": " + std::strerror(errno);
    std::uint64_t number = 0;
    if (!(std::istringstream(rest) >> number)) return "error '" + line + "' is no command";
    if (verb == "truncate") {
        bytes_ = number;
        return "ok";
    }
    if (verb == "clear" && rules_.remove(static_cast<unsigned>(number))) {
        release(static_cast<unsigned>(number));
        return "ok";
    }
    return "error '" + line + "' is no command, or names no rule";
}

Disk& disk_of(fuse_req_t fuse) { return *static_cast<Disk*>(fuse_req_userdata(fuse)); }

struct stat attributes(const Disk& disk, fuse_ino_t ino) {
    struct stat status{};
    status.st_ino = ino;
    status.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0600;
    status.st_nlink = 1;
    if (ino == image_ino) status.st_size = static_cast<off_t>(disk.bytes());
    return status;
}

void on_init(void*, fuse_conn_info* connection) {
    connection->max_write = write_bytes_max;
    connection->max_background = in_flight_max;      // a hanging request must not hold up the next
    connection->congestion_threshold = in_flight_max;
}

void on_lookup(fuse_req_t fuse, fuse_ino_t parent, const char* name) {
    if (parent != FUSE_ROOT_ID || std::strcmp(name, image_name) != 0) {
        fuse_reply_err(fuse, ENOENT);
        return;
    }
    fuse_entry_param entry{};
    entry.ino = image_ino;
    entry.attr = attributes(disk_of(fuse), image_ino);
    fuse_reply_entry(fuse, &entry);
}

void on_getattr(fuse_req_t fuse, fuse_ino_t ino, fuse_file_info*) {
    const struct stat status = attributes(disk_of(fuse), ino);
    fuse_reply_attr(fuse, &status, 0);
}

void on_open(fuse_req_t fuse, fuse_ino_t, fuse_file_info* info) {
    if (disk_of(fuse).vanished()) {
        fuse_reply_err(fuse, ENODEV);
        return;
    }
    info->direct_io = 1;      // no cache: the nodes of a test share nothing but the backing file
    fuse_reply_open(fuse, info);
}

void on_interrupt(fuse_req_t fuse, void* disk) { static_cast<Disk*>(disk)->interrupted(fuse); }

void take(fuse_req_t fuse, Request request) {
    Disk& disk = disk_of(fuse);
    request.fuse = fuse;
    fuse_req_interrupt_func(fuse, on_interrupt, &disk);
    disk.take(std::move(request));
}

void on_read(fuse_req_t fuse, fuse_ino_t, std::size_t bytes, off_t at, fuse_file_info*) {
    Request request;
    request.at = static_cast<std::uint64_t>(at);
    request.bytes = bytes;
    take(fuse, std::move(request));
}

void on_write(fuse_req_t fuse, fuse_ino_t, const char* content, std::size_t bytes, off_t at, fuse_file_info*) {
    Request request;
    request.is_write = true;
    request.at = static_cast<std::uint64_t>(at);
    request.bytes = bytes;
    request.content.assign(content, content + bytes);
    take(fuse, std::move(request));
}

void on_fsync(fuse_req_t fuse, fuse_ino_t, int, fuse_file_info*) {
    fuse_reply_err(fuse, disk_of(fuse).vanished() ? ENODEV : 0);
}

fuse_session* make_session(Disk& disk, const std::string& directory) {
    static fuse_lowlevel_ops operations{};
    operations.init = on_init;
    operations.lookup = on_lookup;
    operations.getattr = on_getattr;
    operations.open = on_open;
    operations.read = on_read;
    operations.write = on_write;
    operations.fsync = on_fsync;
    char name[] = "fault_disk";
    char option[] = "-oallow_other";
    char* words[] = {name, option, nullptr};
    fuse_args arguments = FUSE_ARGS_INIT(::geteuid() == 0 ? 2 : 1, words);
    fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, &disk);
    if (session == nullptr || fuse_session_mount(session, directory.c_str()) != 0) return nullptr;
    return session;
}

int listen_on(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return -1;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ::unlink(path.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
    return ::listen(fd, 8) == 0 ? fd : -1;
}

// False when the connection has ended.
bool serve_line(Disk& disk, int fd, std::string& pending) {
    char buffer[line_bytes_max];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0 || pending.size() > line_bytes_max) return false;
    pending.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
        const std::string answer = disk.command(pending.substr(0, end)) + "\n";
        pending.erase(0, end + 1);
        if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return false;
    }
    return true;
}

void serve(Disk& disk, fuse_session* session, int listener, int signals) {
    std::map<int, std::string> connections;
    fuse_buf buffer{};
    while (!fuse_session_exited(session)) {
        std::vector<pollfd> fds{{signals, POLLIN, 0}, {fuse_session_fd(session), POLLIN, 0}, {listener, POLLIN, 0}};
        for (const auto& [fd, pending] : connections) fds.push_back({fd, POLLIN, 0});
        if (::poll(fds.data(), fds.size(), disk.until_next_due()) < 0 && errno != EINTR) break;
        if (fds[0].revents != 0) break;
        if (fds[1].revents != 0) {
            const int n = fuse_session_receive_buf(session, &buffer);
            if (n <= 0 && n != -EINTR && n != -EAGAIN) break;
            if (n > 0) fuse_session_process_buf(session, &buffer);
        }
        if (fds[2].revents != 0) {
            const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd >= 0) connections[fd] = {};
        }
        for (std::size_t i = 3; i < fds.size(); ++i) {
            if (fds[i].revents == 0 || serve_line(disk, fds[i].fd, connections[fds[i].fd])) continue;
            ::close(fds[i].fd);
            connections.erase(fds[i].fd);
        }
        disk.answer_due();
    }
    std::free(buffer.mem);
}

int run(const std::string& backing, const std::string& directory, const std::string& socket) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);      // instead of the SIGKILL of tests: the mount goes, too
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    const int signals = ::signalfd(-1, &set, SFD_CLOEXEC);
    Disk disk;
    if (!disk.open(backing)) {
        std::fprintf(stderr, "%s: %s\n", backing.c_str(), std::strerror(errno));
        return 1;
    }
    const int listener = listen_on(socket);
    if (listener < 0) {
        std::fprintf(stderr, "%s: %s\n", socket.c_str(), std::strerror(errno));
        return 1;
    }
    fuse_session* session = make_session(disk, directory);
    if (session == nullptr) return 1;
    std::puts("serving");
    std::fflush(stdout);
    serve(disk, session, listener, signals);
    disk.fail_all();
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    ::unlink(socket.c_str());
    return 0;
}

}  // namespace
}  // namespace sdlm::test

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: fault_disk BACKING DIRECTORY SOCKET\n");
        return 2;
    }
    return sdlm::test::run(argv[1], argv[2], argv[3]);
}
