// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/fuse_load.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "fs/dlmfs.hpp"

namespace sdlm::bench {
namespace {

Duration open_and_close(const std::string& path, int flags) {
    const Instant start = disk::boottime_now();
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) throw std::runtime_error(path + ": " + std::strerror(errno));
    ::close(fd);
    return disk::boottime_now() - start;
}

class Mounted {
public:
    Mounted(BenchNode& node, const std::string& directory) : node_(node) {
        std::string message;
        node_.call([&] {
            fs::MountOptions options;
            options.path = directory;
            options.fsname = "sdlm_bench";
            auto made = fs::Dlmfs::create(node_.reactor(), node_.locks(), std::move(options), message);
            if (!made) return;
            dlmfs_ = std::move(*made);
            if (!dlmfs_->mount(message)) dlmfs_.reset();
        });
        if (dlmfs_ == nullptr) throw std::runtime_error(message);
    }
    ~Mounted() {
        node_.call([this] {
            dlmfs_->unmount();
            dlmfs_.reset();
        });
    }
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;

private:
    BenchNode& node_;
    std::unique_ptr<fs::Dlmfs> dlmfs_;
};

}  // namespace

FuseTimes measure_fuse(BenchNode& node, const std::string& bare, const std::string& directory, std::uint64_t count) {
    FuseTimes times;
    const Mounted mounted(node, directory);
    const std::string domain = directory + "/bench";
    if (::mkdir(domain.c_str(), 0700) != 0) throw std::runtime_error(domain + ": " + std::strerror(errno));
    const std::string bare_file = bare + "/file";
    const std::string cached = domain + "/cached";
    open_and_close(bare_file, O_RDWR);
    open_and_close(cached, O_RDWR | O_CREAT);
    for (std::uint64_t i = 0; i < count; ++i) {
        times.bare.add(open_and_close(bare_file, O_RDWR));
        times.cached.add(open_and_close(cached, O_RDWR));
        times.uncached.add(open_and_close(domain + "/u" + std::to_string(i), O_RDWR | O_CREAT));
    }
    return times;
}

}  // namespace sdlm::bench
