// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mkfs/signatures.hpp"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace sdlm::tools::mkfs {

namespace {

constexpr int signatures_max = 64;      // a device that still shows one after that many wipes keeps nothing

class Prober {
public:
    // libblkid reads at any alignment, so it gets a descriptor of its own without O_DIRECT.
    Prober(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
        if (fd_ < 0) {
            problem_ = std::string("cannot be opened for probing: ") + std::strerror(errno);
            return;
        }
        // Other hosts may have written since this host cached the blocks. Needs privileges; harmless without.
        static_cast<void>(::ioctl(fd_, BLKFLSBUF));
        probe_.reset(blkid_new_probe());
        if (!probe_ || blkid_probe_set_device(probe_.get(), fd_, 0, 0) != 0) {
            problem_ = "libblkid cannot probe the device";
            return;
        }
        blkid_probe_enable_superblocks(probe_.get(), 1);
        blkid_probe_set_superblocks_flags(probe_.get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_BADCSUM);
        blkid_probe_enable_partitions(probe_.get(), 1);
        blkid_probe_set_partitions_flags(probe_.get(), BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
    }
    Prober(const Prober&) = delete;
    Prober& operator=(const Prober&) = delete;
    ~Prober() {
        probe_.reset();
        if (fd_ >= 0) ::close(fd_);
    }
    const std::string& problem() const { return problem_; }

    // 1: a signature is found, 0: no more, -1: failed
    int next() {
        const int rc = blkid_do_probe(probe_.get());
        if (rc < 0) problem_ = "libblkid failed while probing the device (I/O error?)";
        return rc == 0 ? 1 : (rc == 1 ? 0 : -1);
    }
    bool wipe() { return blkid_do_wipe(probe_.get(), 0) == 0 && ::fsync(fd_) == 0; }
    std::string describe() const {
        const bool table = has("PTTYPE") && !has("TYPE");
        std::string out = table ? "a partition table of type " + value("PTTYPE") : value("TYPE");
        const std::string at = value(table ? "PTMAGIC_OFFSET" : "SBMAGIC_OFFSET");
        if (at.empty()) return out;
        char where[40];
        std::snprintf(where, sizeof where, " at offset 0x%llx", std::strtoull(at.c_str(), nullptr, 10));
        return out + where;
    }

private:
    bool has(const char* name) const { return blkid_probe_has_value(probe_.get(), name) != 0; }
    std::string value(const char* name) const {
        const char* text = nullptr;
        return blkid_probe_lookup_value(probe_.get(), name, &text, nullptr) == 0 && text != nullptr ? text : "";
    }

    struct Free {
        void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
    };
    int fd_;
    std::unique_ptr<blkid_struct_probe, Free> probe_;
    std::string problem_;
};

}  // namespace

SignatureReport find_signature(const std::string& path) {
    Prober prober(path, O_RDONLY);
    if (prober.problem().empty() && prober.next() == 1) return {prober.describe(), {}};
    return {{}, prober.problem()};
}

std::string wipe_signatures(const std::string& path) {
    Prober prober(path, O_RDWR);
    if (!prober.problem().empty()) return prober.problem();
    for (int i = 0; i < signatures_max; ++i) {
        const int found = prober.next();
        if (found == 0) return {};
        if (found < 0) return prober.problem();
        const std::string what = prober.describe();
        if (!prober.wipe()) return "cannot erase " + what + ": " + std::strerror(errno);
    }
    return "still shows " + prober.describe() + " after it was erased; is the device write-protected?";
}

}  // namespace sdlm::tools::mkfs
