// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/io/block_device.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "disk/base/limits.hpp"
#include "disk/io/aligned_buffer.hpp"

namespace sdlm::disk {
namespace {

constexpr std::size_t chunk_bytes = 256 * 1024;      // of one copied transfer

Error from_errno(int os_errno, const char* field, std::uint64_t offset = 0) {
    Errc code = Errc::io;
    if (os_errno == ENOENT || os_errno == ENXIO || os_errno == ENODEV) code = Errc::not_found;
    if (os_errno == EBUSY) code = Errc::busy;
    return Error{code, os_errno, offset, field};
}

int open_retrying(const char* path, int flags) {
    int fd = -1;
    do fd = ::open(path, flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

// 0 when the kernel (before 6.1) or the file system does not tell.
std::uint32_t direct_io_alignment([[maybe_unused]] int fd) {
#ifdef STATX_DIOALIGN
    struct statx info{};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &info) != 0) return 0;
    if ((info.stx_mask & STATX_DIOALIGN) != 0) return info.stx_dio_offset_align;
#endif
    return 0;
}

bool power_of_two(std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; }

}  // namespace

Result<BlockDevice> BlockDevice::open(const std::string& path, const OpenOptions& options) {
    BlockDevice device;
    device.path_ = path;
    int flags = (options.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC;
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return from_errno(errno, "device");
    device.block_device_ = S_ISBLK(status.st_mode);
    if (!device.block_device_ && !S_ISREG(status.st_mode)) return Error{Errc::bad_argument, 0, 0, "device"};
    if (options.exclusive && device.block_device_) flags |= O_EXCL;

    device.direct_ = true;
    device.fd_ = open_retrying(path.c_str(), flags | O_DIRECT);
    if (device.fd_ < 0 && errno == EINVAL && !device.block_device_) {
        device.direct_ = false;
        device.fd_ = open_retrying(path.c_str(), flags | O_DSYNC);
    }
    if (device.fd_ < 0) return from_errno(errno, "device");

    if (::fstat(device.fd_, &status) != 0) return from_errno(errno, "device");
    if (S_ISBLK(status.st_mode) != device.block_device_ || (!device.block_device_ && !S_ISREG(status.st_mode)))
        return Error{Errc::bad_argument, 0, 0, "device"};      // replaced between stat and open
    if (device.block_device_) {
        int logical = 0;
        if (::ioctl(device.fd_, BLKGETSIZE64, &device.bytes_) != 0) return from_errno(errno, "device size");
        if (::ioctl(device.fd_, BLKSSZGET, &logical) != 0) return from_errno(errno, "logical block size");
        device.logical_block_ = static_cast<std::uint32_t>(logical);
    } else {
        device.bytes_ = static_cast<std::uint64_t>(status.st_size);
        if (device.direct_) device.logical_block_ = std::max(512U, direct_io_alignment(device.fd_));
    }
    if (!power_of_two(device.logical_block_) || device.logical_block_ < limits::block_bytes_min)
        return Error{Errc::unsupported, 0, 0, "logical block size"};
    return device;
}

BlockDevice::BlockDevice(BlockDevice&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_),
      logical_block_(other.logical_block_), block_device_(other.block_device_), direct_(other.direct_) {}

BlockDevice& BlockDevice::operator=(BlockDevice&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    std::swap(bytes_, other.bytes_);
    std::swap(logical_block_, other.logical_block_);
    std::swap(block_device_, other.block_device_);
    std::swap(direct_, other.direct_);
    return *this;
}

BlockDevice::~BlockDevice() {
    if (fd_ >= 0) ::close(fd_);
}

namespace {

Result<void> check_aligned(const BlockDevice& device, std::uint64_t offset, std::size_t bytes) {
    if (offset % device.logical_block_bytes() != 0) return Error{Errc::bad_argument, 0, offset, "offset"};
    if (bytes % device.logical_block_bytes() != 0) return Error{Errc::bad_argument, 0, offset, "length"};
    // off_t is signed: what does not fit there lies beyond the end of everything.
    if (offset > INT64_MAX || bytes > INT64_MAX - offset) return Error{Errc::short_transfer, 0, offset, nullptr};
    return {};
}

// Transfers all of `chunk` at `offset`; `transfer` is pread or pwrite bound to the descriptor.
template <class Transfer>
Result<void> transfer_all(std::span<std::byte> chunk, std::uint64_t offset, Transfer transfer) {
    std::size_t done = 0;
    while (done < chunk.size()) {
        const ssize_t n = transfer(chunk.subspan(done), static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error{Errc::io, errno, offset + done, nullptr};
        if (n == 0) return Error{Errc::short_transfer, 0, offset + done, nullptr};
        done += static_cast<std::size_t>(n);
    }
    return {};
}

}  // namespace

Result<void> BlockDevice::read(std::uint64_t offset, std::span<std::byte> out) const {
    if (auto aligned = check_aligned(*this, offset, out.size()); !aligned) return aligned;
    if (out.empty()) return {};
    const AlignedBuffer buffer(std::min(out.size(), chunk_bytes));
    if (buffer.data() == nullptr) return Error{Errc::io, ENOMEM, offset, nullptr};
    for (std::size_t at = 0; at < out.size(); at += buffer.size()) {
        const auto chunk = buffer.bytes().first(std::min(buffer.size(), out.size() - at));
        const auto pread_chunk = [this](std::span<std::byte> part, off_t where) {
            return ::pread(fd_, part.data(), part.size(), where);
        };
        if (auto done = transfer_all(chunk, offset + at, pread_chunk); !done) return done;
        std::memcpy(out.data() + at, chunk.data(), chunk.size());
    }
    return {};
}

Result<void> BlockDevice::write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    if (auto aligned = check_aligned(*this, offset, bytes.size()); !aligned) return aligned;
    if (bytes.empty()) return {};
    // A file would silently grow, a device fails with ENOSPC: the same error for both.
    if (offset > bytes_ || bytes.size() > bytes_ - offset) return Error{Errc::short_transfer, 0, offset, nullptr};
    const AlignedBuffer buffer(std::min(bytes.size(), chunk_bytes));
    if (buffer.data() == nullptr) return Error{Errc::io, ENOMEM, offset, nullptr};
    for (std::size_t at = 0; at < bytes.size(); at += buffer.size()) {
        const auto chunk = buffer.bytes().first(std::min(buffer.size(), bytes.size() - at));
        std::memcpy(chunk.data(), bytes.data() + at, chunk.size());
        const auto pwrite_chunk = [this](std::span<std::byte> part, off_t where) {
            return ::pwrite(fd_, part.data(), part.size(), where);
        };
        if (auto done = transfer_all(chunk, offset + at, pwrite_chunk); !done) return done;
    }
    return {};
}

Result<void> BlockDevice::flush() const {
    int rc = -1;
    do rc = ::fdatasync(fd_);
    while (rc != 0 && errno == EINTR);
    if (rc != 0) return Error{Errc::io, errno, 0, "flush"};
    return {};
}

}  // namespace sdlm::disk
