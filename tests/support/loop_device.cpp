// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/loop_device.hpp"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sdlm::test {
namespace {

constexpr int attempts = 20;      // somebody else may take the free device first

// The descriptor of a configured loop device, or -1 with errno. EBUSY: taken meanwhile.
int configure(const std::string& path, int backing, const LoopOptions& options) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) return -1;
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(backing);
    config.block_size = options.block_bytes;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (options.direct_io) config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
    if (::ioctl(fd, LOOP_CONFIGURE, &config) == 0) return fd;
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
}

}  // namespace

std::unique_ptr<LoopDevice> LoopDevice::attach(const std::string& file, const LoopOptions& options,
                                               std::string& reason) {
    const int backing = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    if (backing < 0) {
        reason = file + ": " + std::strerror(errno);
        return nullptr;
    }
    const int control = ::open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0) reason = std::string("/dev/loop-control: ") + std::strerror(errno);
    std::unique_ptr<LoopDevice> device;
    for (int attempt = 0; control >= 0 && attempt < attempts && device == nullptr; ++attempt) {
        const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) {
            reason = std::string("no free loop device: ") + std::strerror(errno);
            break;
        }
        const std::string path = "/dev/loop" + std::to_string(number);
        const int fd = configure(path, backing, options);
        if (fd >= 0) device.reset(new LoopDevice(path, fd));
        else reason = path + ": " + std::strerror(errno);
        if (fd < 0 && errno != EBUSY) break;
    }
    if (control >= 0) ::close(control);
    ::close(backing);
    return device;
}

LoopDevice::~LoopDevice() {
    ::ioctl(fd_, LOOP_CLR_FD, 0);
    ::close(fd_);
}

}  // namespace sdlm::test
