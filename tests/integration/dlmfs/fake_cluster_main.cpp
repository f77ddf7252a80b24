// SPDX-License-Identifier: LGPL-2.1-or-later
// Two dlmfs mounts over one fake cluster, in one reactor. Commands, one a line on standard input, N = 0 or 1:
//   kill N            the node's lease is lost          restart N   unmount, forget the node, mount anew
//   offline N         domains cannot be joined          unmount N   as on SIGTERM
//   wait-unmounted N  answered when the kernel has unmounted it
//   counts N          "domains handles files descriptors waiting" of node and mount
// Each is answered by one line. End of input unmounts both and ends the program.
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>

#include "disk/base/assert.hpp"
#include "disk/io/reactor.hpp"
#include "fs/dlmfs.hpp"
#include "tests/integration/dlmfs/fake_cluster.hpp"

namespace sdlm::fs::test {
namespace {

struct Host {
    std::string path;
    std::unique_ptr<FakeNode> node;
    std::unique_ptr<Dlmfs> mount;
    bool unmounted = false, awaited = false;
};

class Server {
public:
    explicit Server(disk::Reactor& reactor)
        : reactor_(reactor), cluster_([&reactor](std::function<void()> work) { reactor.post(std::move(work)); }) {}

    bool start(int index, const std::string& path) {
        Host& host = hosts_.at(static_cast<std::size_t>(index));
        host = Host{path, std::make_unique<FakeNode>(cluster_), nullptr, false, false};
        std::string message;
        MountOptions options;
        options.path = path;
        options.fsname = "fake";
        auto mount = Dlmfs::create(reactor_, *host.node, std::move(options), message);
        if (!mount || !(*mount)->mount(message)) {
            std::fprintf(stderr, "dlmfs_fake_cluster: %s\n", message.c_str());
            return false;
        }
        host.mount = std::move(*mount);
        host.mount->set_on_unmounted([&host] {
            host.unmounted = true;
            if (host.awaited) reply("ok");
        });
        return true;
    }

    void stop() {
        for (Host& host : hosts_) host.mount.reset();
        reactor_.stop();
    }

    void input() {
        std::array<char, 256> bytes{};
        const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
        if (count <= 0) return stop();
        pending_.append(bytes.data(), static_cast<std::size_t>(count));
        for (std::size_t end; (end = pending_.find('\n')) != std::string::npos; pending_.erase(0, end + 1))
            command(pending_.substr(0, end));
    }

private:
    static void reply(const std::string& line) {
        std::printf("%s\n", line.c_str());
        std::fflush(stdout);
    }

    void command(const std::string& line) {
        std::istringstream words(line);
        std::string verb;
        int index = 0;
        words >> verb >> index;
        Host& host = hosts_.at(static_cast<std::size_t>(index));
        if (verb == "wait-unmounted") {
            host.awaited = true;
            if (host.unmounted) reply("ok");
            return;
        }
        if (verb == "counts") {
            const ModelStatus status = host.mount->status();
            std::ostringstream out;
            out << host.node->domain_count() << ' ' << host.node->handle_count() << ' ' << status.files << ' '
                << status.descriptors << ' ' << status.waiting_opens;
            return reply(out.str());
        }
        if (verb == "kill") host.node->die();
        else if (verb == "offline") host.node->set_live(false);
        else if (verb == "unmount") host.mount->unmount();
        else if (verb == "restart") {
            host.mount.reset();
            if (!start(index, host.path)) return reply("failed");
        } else return reply("unknown command");
        reply("ok");
    }

    disk::Reactor& reactor_;
    FakeCluster cluster_;
    std::array<Host, 2> hosts_;
    std::string pending_;
};

int run(const std::string& a, const std::string& b) {
    ::signal(SIGPIPE, SIG_IGN);
    std::string message;
    auto reactor = disk::Reactor::create({}, message);
    if (!reactor) {
        std::fprintf(stderr, "dlmfs_fake_cluster: %s\n", message.c_str());
        return 77;
    }
    sigset_t ends{};   // as a daemon: leaves no mount behind when the whole process group is told to end
    ::sigemptyset(&ends);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&ends, number);
    ::sigprocmask(SIG_BLOCK, &ends, nullptr);
    const int signals = ::signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    Server server(**reactor);
    if (!server.start(0, a) || !server.start(1, b)) return 77;
    (*reactor)->watch(STDIN_FILENO, POLLIN, [&server](std::uint32_t) { server.input(); });
    (*reactor)->watch(signals, POLLIN, [&](std::uint32_t) {
        (*reactor)->unwatch(signals);
        server.stop();
    });
    std::printf("ready\n");
    std::fflush(stdout);
    (*reactor)->run();
    return 0;
}

}  // namespace
}  // namespace sdlm::fs::test

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: dlmfs_fake_cluster MOUNT_A MOUNT_B\n");
        return 2;
    }
    return sdlm::fs::test::run(argv[1], argv[2]);
}
