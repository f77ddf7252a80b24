// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/daemon_launch.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {
namespace {

constexpr off_t log_bytes_max = 1024 * 1024;      // a longer log is moved away when a daemon starts
constexpr int log_copy_ms = 100;

Error os_failure(const std::string& what, int error, std::string& message) {
    message = what + ": " + std::strerror(error);
    return {.code = Errc::io, .os_errno = error, .field = "sdlmd"};
}

// An abstract address that the kernel picks: no file to leave behind, no limit by the length of the run directory.
Result<UniqueFd> notify_socket(std::string& name, std::string& message) {
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    auto* generic = static_cast<sockaddr*>(static_cast<void*>(&address));
    socklen_t bytes = sizeof(sa_family_t);
    const int on = 1;
    if (!fd || ::bind(fd.get(), generic, bytes) != 0 ||
        ::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
        return os_failure("cannot make a notification socket", errno, message);
    }
    bytes = sizeof address;
    if (::getsockname(fd.get(), generic, &bytes) != 0) {
        return os_failure("cannot name the notification socket", errno, message);
    }
    name.assign(address.sun_path, bytes - offsetof(sockaddr_un, sun_path));
    name[0] = '@';
    return fd;
}

// READY=1 in a datagram of process `from`; datagrams of others are dropped.
bool received_ready(int fd, pid_t from) {
    for (;;) {
        std::array<char, 4096> text{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
        iovec part{.iov_base = text.data(), .iov_len = text.size()};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        const ssize_t got = ::recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0) return false;
        const cmsghdr* first = CMSG_FIRSTHDR(&header);
        if (first == nullptr || first->cmsg_type != SCM_CREDENTIALS) continue;
        ucred sender{};
        std::memcpy(&sender, CMSG_DATA(first), sizeof sender);
        std::string_view lines(text.data(), static_cast<std::size_t>(got));
        while (sender.pid == from && !lines.empty()) {
            const auto end = std::min(lines.find('\n'), lines.size());
            if (lines.substr(0, end) == "READY=1") return true;
            lines.remove_prefix(std::min(end + 1, lines.size()));
        }
    }
}

[[noreturn]] void become_daemon(const std::vector<std::string>& command, const std::string& notify, int log) {
    ::setsid();
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    // The caller's descriptors (a mount lock, a pipe of a script) must not live as long as the daemon.
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD}) ::signal(number, SIG_DFL);
    ::umask(022);
    if (::chdir("/") != 0) ::_exit(126);
    ::setenv("NOTIFY_SOCKET", notify.c_str(), 1);
    for (const char* name : {"JOURNAL_STREAM", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"}) ::unsetenv(name);
    std::vector<char*> arguments;
    std::vector<std::string> copies = command;
    for (std::string& text : copies) arguments.push_back(text.data());
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    std::fprintf(stderr, "cannot run %s: %s\n", arguments[0], std::strerror(errno));
    ::_exit(127);
}

// Shows what a person must know of the growing log: warnings, errors, and whatever is not a line of sdlmd's own (the
// loader, an abort). The rest stays in the log.
class LogTail {
public:
    LogTail(int fd, off_t from) : fd_(fd), at_(from) {}
    void copy() {
        std::array<char, 4096> text{};
        for (;;) {
            const ssize_t got = ::pread(fd_, text.data(), text.size(), at_);
            if (got <= 0) return;
            at_ += got;
            part_.append(text.data(), static_cast<std::size_t>(got));
            for (auto end = part_.find('\n'); end != std::string::npos; end = part_.find('\n')) {
                show(std::string_view(part_).substr(0, end + 1));
                part_.erase(0, end + 1);
            }
        }
    }

private:
    static void show(std::string_view line) {
        const bool own = line.starts_with("sdlmd: ");
        const bool serious = line.starts_with("sdlmd: error: ") || line.starts_with("sdlmd: warning: ");
        if (!own || serious) std::fwrite(line.data(), 1, line.size(), stderr);
    }

    int fd_;
    off_t at_;
    std::string part_;
};

Result<UniqueFd> open_log(const std::string& path, std::string& message) {
    struct stat st {};
    if (::stat(path.c_str(), &st) == 0 && st.st_size > log_bytes_max) {
        ::rename(path.c_str(), (path + ".old").c_str());
    }
    UniqueFd log(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!log) return os_failure("cannot open the daemon's log " + path, errno, message);
    return log;
}

// Signals that would end this process are read from the descriptor instead while it lives.
class SignalWait {
public:
    SignalWait() {
        sigset_t set;
        ::sigemptyset(&set);
        for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, number);
        ::sigprocmask(SIG_BLOCK, &set, &old_);
        fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    ~SignalWait() { ::sigprocmask(SIG_SETMASK, &old_, nullptr); }
    SignalWait(const SignalWait&) = delete;
    SignalWait& operator=(const SignalWait&) = delete;
    int fd() const { return fd_.get(); }

private:
    sigset_t old_{};
    UniqueFd fd_;
};

std::string end_text(int status) {
    if (WIFSIGNALED(status)) return std::string("killed by signal ") + ::strsignal(WTERMSIG(status));
    return "exit status " + std::to_string(WEXITSTATUS(status));
}

Result<void> wait_ready(pid_t child, int notify, const SignalWait& signals, LogTail& tail, const std::string& log,
                        std::string& message) {
    bool interrupted = false;
    for (;;) {
        std::array<pollfd, 2> waiting{{{.fd = notify, .events = POLLIN, .revents = 0},
                                       {.fd = signals.fd(), .events = POLLIN, .revents = 0}}};
        ::poll(waiting.data(), interrupted ? 1U : 2U, log_copy_ms);
        const bool ready = received_ready(notify, child);
        tail.copy();
        if (ready && !interrupted) return {};
        if (waiting[1].revents != 0 && !interrupted) {
            interrupted = true;
            ::kill(child, SIGTERM);
        }
        int status = 0;
        if (::waitpid(child, &status, WNOHANG) != child) continue;
        tail.copy();
        message = interrupted ? "interrupted" : "sdlmd ended before it was ready (" + end_text(status) + ")";
        message += "; its log is " + log;
        return Error{.code = Errc::io, .os_errno = interrupted ? EINTR : 0, .field = "sdlmd"};
    }
}

}  // namespace

Result<std::string> find_sdlmd(std::string& message) {
    // Not from the environment of a program that has more rights than its caller.
    if (const char* named = ::secure_getenv("SDLM_SDLMD"); named != nullptr && *named != '\0') {
        if (::access(named, X_OK) == 0) return std::string(named);
        return os_failure(std::string("cannot run $SDLM_SDLMD, ") + named, errno, message);
    }
    std::error_code error;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    for (const char* relative : {"sdlmd", "../sbin/sdlmd", "../sdlmd/sdlmd"}) {
        const auto path = own / relative;
        if (std::filesystem::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0) {
            return path.lexically_normal().string();
        }
    }
    message = "no sdlmd beside this program (" + own.string() + ") or in ../sbin; name it with $SDLM_SDLMD";
    return Error{.code = Errc::not_found, .field = "sdlmd"};
}

std::vector<std::string> daemon_command_line(const std::string& program, const LaunchRequest& request) {
    std::vector<std::string> line{program};
    // In one word, or a value that begins with '-' would be taken for an option.
    const auto option = [&](const char* name, const std::string& value) {
        if (!value.empty()) line.push_back(std::string(name) + "=" + value);
    };
    option("--device", request.device);
    option("--run-dir", request.run_dir);
    option("--node", request.node ? std::to_string(*request.node) : "");
    option("--name", request.name);
    option("--mount", request.mount);
    if (request.allow_other) line.emplace_back("--allow-other");
    option("--client-policy", request.client_policy);
    for (const std::string& service : request.services) option("--service", service);
    return line;
}

Result<void> launch_daemon(const LaunchRequest& request, std::string& message) {
    SDLM_TRY(program, find_sdlmd(message));
    std::string notify_name;
    SDLM_TRY(notify, notify_socket(notify_name, message));
    const std::string log_path = request.run_dir + "/log";
    SDLM_TRY(log, open_log(log_path, message));
    LogTail tail(log.get(), ::lseek(log.get(), 0, SEEK_END));
    const auto command = daemon_command_line(program, request);
    const SignalWait signals;
    const pid_t child = ::fork();
    if (child < 0) return os_failure("cannot start sdlmd", errno, message);
    if (child == 0) become_daemon(command, notify_name, log.get());
    return wait_ready(child, notify.get(), signals, tail, log_path, message);
}

}  // namespace sdlm::tools
