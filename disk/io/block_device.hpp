// SPDX-License-Identifier: LGPL-2.1-or-later
// A block device or regular file opened for O_DIRECT, and synchronous block I/O on it for mkfs and the offline tools.
// The daemon does its I/O through the reactor. Errors carry the errno and the byte offset.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "disk/base/result.hpp"
#include "disk/format/superblock.hpp"

namespace sdlm::disk {

struct OpenOptions {
    bool writable = false;
    bool exclusive = false;      // O_EXCL on block devices: refuses a mounted one (EBUSY); for mkfs
};

class BlockDevice {
public:
    // Opens with O_DIRECT | O_CLOEXEC (falls back to buffered + O_DSYNC on files whose file system has no O_DIRECT, as
    // tmpfs had; direct() tells). Never creates a file.
    static Result<BlockDevice> open(const std::string& path, const OpenOptions& options);
    BlockDevice(BlockDevice&&) noexcept;
    BlockDevice& operator=(BlockDevice&&) noexcept;
    ~BlockDevice();

    int fd() const { return fd_; }
    const std::string& path() const { return path_; }
    std::uint64_t bytes() const { return bytes_; }                       // size now
    // 512 for regular files unless the file system wants more.
    std::uint32_t logical_block_bytes() const { return logical_block_; }
    bool is_block_device() const { return block_device_; }
    bool direct() const { return direct_; }

    // Whole, aligned blocks; buffers of any alignment (copied). short_transfer beyond the end.
    Result<void> read(std::uint64_t offset, std::span<std::byte> out) const;
    Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) const;
    Result<void> flush() const;

private:
    BlockDevice() = default;
    std::string path_;
    int fd_ = -1;
    std::uint64_t bytes_ = 0;
    std::uint32_t logical_block_ = 512;
    bool block_device_ = false;
    bool direct_ = false;
};

struct LoadedSuperblock {
    Superblock superblock;
    bool from_backup = false;
    std::string warning;         // why the first copy was not used; empty when it was
};

// Reads the superblock, or the backup when the first is damaged; checks that the device can hold the volume
// (too_small: truncated) and that its logical block is not larger than the volume's (unsupported).
// `message` gets a full sentence for people on failure: what, where (offset, field), what to do.
Result<LoadedSuperblock> load_superblock(const BlockDevice& device, std::string& message);

}  // namespace sdlm::disk
