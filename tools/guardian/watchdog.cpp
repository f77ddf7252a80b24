// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/guardian/watchdog.hpp"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sdlm::tools {

namespace {

bool write_one(int fd, char byte) {
    ssize_t written = -1;
    do written = ::write(fd, &byte, 1);
    while (written < 0 && errno == EINTR);
    return written == 1;
}

}  // namespace

Result<Watchdog> Watchdog::open(const std::string& path, Duration timeout, std::string& message) {
    UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0) {
        const int error = errno;
        message = "watchdog " + path + ": " + std::strerror(error) +
                  (error == EBUSY ? "; another program feeds it: stop that one, or do without --watchdog" : "");
        return Error{.code = Errc::io, .os_errno = error, .field = "watchdog"};
    }
    if (S_ISREG(status.st_mode)) return Watchdog(std::move(fd), timeout);
    int seconds = static_cast<int>(timeout.ms() / 1000);
    if (seconds < 1) seconds = 1;
    Watchdog watchdog(std::move(fd), timeout);
    const bool set = ::ioctl(watchdog.fd_.get(), WDIOC_SETTIMEOUT, &seconds) == 0 ||
                     ::ioctl(watchdog.fd_.get(), WDIOC_GETTIMEOUT, &seconds) == 0;
    watchdog.timeout_ = milliseconds(std::int64_t{seconds} * 1000);
    if (set && watchdog.timeout_ <= timeout) return watchdog;
    watchdog.close();
    message = "watchdog " + path + ": " +
              (set ? "its timeout is " + std::to_string(seconds) + " s, and must be at most " +
                         std::to_string(timeout.ms()) + " ms for this volume's lease; "
                   : std::string("it does not say what its timeout is; ")) +
              "take another device, or format the volume with a longer lease";
    return Error{.code = Errc::bad_argument, .field = "watchdog"};
}

bool Watchdog::feed() const { return !fd_ || write_one(fd_.get(), '.'); }

void Watchdog::close() {
    if (!fd_) return;
    write_one(fd_.get(), 'V');
    fd_.reset();
}

}  // namespace sdlm::tools
