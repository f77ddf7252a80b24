// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cluster.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace sdlm {

std::string Cluster::start(const ClusterOptions& options) {
    if (access("/dev/fuse", R_OK | W_OK) != 0) return "no access to /dev/fuse";
    const std::string image = dir_.make_file("disk.img", 16 * 1024 * 1024);
    device_ = image;
    if (options.loop) {
        std::string reason;
        loop_ = test::LoopDevice::attach(image, {.block_bytes = options.block_bytes}, reason);
        if (!loop_) return reason;
        device_ = loop_->path();
    }
    test::ChildProcess mkfs({MKFS_PROGRAM, "-f", "-N", "8", "-J", "256K", "-b", std::to_string(options.block_bytes),
                             "--lease-ms", "3000", "--heartbeat-ms", "200", device_});
    if (mkfs.wait().code != 0) throw std::runtime_error("mkfs.sdlm: " + mkfs.err());
    for (unsigned node = 0; node < options.nodes; ++node) {
        if (mkdir(mount(node).c_str(), 0755) != 0) throw std::runtime_error("mkdir " + mount(node));
        daemons_.push_back(std::make_unique<test::ChildProcess>(std::vector<std::string>{
            SDLMD_PROGRAM, "--device", device_, "--node", std::to_string(node), "--run-dir", run_dir(node), "--mount",
            mount(node)}));
    }
    for (unsigned node = 0; node < options.nodes; ++node) {
        if (!daemons_[node]->wait_for_stderr(": mounted")) {
            const std::string text = daemons_[node]->err();
            if (text.find("io_uring") != std::string::npos) return text;
            throw std::runtime_error("sdlmd: " + text);
        }
        if (mkdir((mount(node) + "/domain").c_str(), 0755) != 0) throw std::runtime_error("mkdir of the domain");
    }
    return {};
}

Cluster::~Cluster() {
    for (auto& daemon : daemons_)
        if (daemon->running()) daemon->kill(SIGTERM);
    for (auto& daemon : daemons_) daemon->wait();
    for (unsigned node = 0; node < daemons_.size(); ++node) umount2(mount(node).c_str(), MNT_DETACH);
}

void Cluster::kill_daemon(unsigned node) {
    daemons_[node]->kill(SIGKILL);
    daemons_[node]->wait();
    umount2(mount(node).c_str(), MNT_DETACH);
}

std::string Cluster::tool(const std::vector<std::string>& arguments, int expected_code) {
    std::vector<std::string> argv{SDLM_PROGRAM};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    test::ChildProcess child(argv);
    const test::ExitStatus status = child.wait();
    if (!status.exited || status.code != expected_code) throw std::runtime_error("sdlm: " + child.err() + child.out());
    return child.out();
}

}  // namespace sdlm
