// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/daemon.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "disk/base/assert.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/sdlmd/host_identity.hpp"
#include "tools/sdlmd/log.hpp"

namespace sdlm::tools {
namespace {

std::string node_text(NodeIndex node) { return "node " + std::to_string(node); }

}  // namespace

const char* Daemon::text(State state) noexcept {
    switch (state) {
        case State::joining: return "joining";
        case State::live: return "live";
        case State::leaving: return "leaving";
        case State::lost: return "lost";
    }
    SDLM_UNREACHABLE();
}

Result<std::unique_ptr<Daemon>> Daemon::create(const DaemonOptions& options, std::string& message) {
    auto device = disk::BlockDevice::open(options.device, {.writable = true});
    if (!device) {
        message = options.device + ": " + describe(device.error()) +
                  "; give a block device or an image file to --device";
        return device.error();
    }
    auto loaded = disk::load_superblock(*device, message);
    if (!loaded) return loaded.error();
    if (loaded->from_backup) log(LogLevel::warning, loaded->warning);
    const disk::Superblock& superblock = loaded->superblock;
    auto timing = heartbeat::make_timing(superblock.heartbeat_ms, superblock.lease_ms, superblock.io_timeout_ms);
    if (!timing) {
        message = options.device + ": superblock: " + describe(timing.error()) + "; format the volume again";
        return timing.error();
    }
    if (options.node && *options.node >= superblock.geometry.slot_count) {
        message = "--node " + std::to_string(*options.node) + ": " + options.device + " has slots 0 to " +
                  std::to_string(superblock.geometry.slot_count - 1) + "; choose one of them";
        return Error{Errc::bad_argument, 0, 0, "--node"};
    }
    if (!device->direct())
        log(LogLevel::warning, options.device + ": no O_DIRECT here: other hosts would not see this node's writes; "
                                                "for tests only");
    const std::string run_dir = options.run_dir.empty() ? default_run_dir(superblock.uuid) : options.run_dir;
    auto files = RunFiles::claim(run_dir, message);
    if (!files) return files.error();
    std::unique_ptr<Daemon> daemon(
        new Daemon(options, std::move(*device), superblock, *timing, std::move(*files)));
    if (auto opened = daemon->open(message); !opened) return opened.error();
    return daemon;
}

Daemon::Daemon(const DaemonOptions& options, disk::BlockDevice device, const disk::Superblock& superblock,
               const heartbeat::Timing& timing, RunFiles files)
    : options_(options), device_(std::move(device)), superblock_(superblock), timing_(timing),
      files_(std::move(files)) {}

Daemon::~Daemon() {
    if (signals_ && reactor_ != nullptr) reactor_->unwatch(signals_.get());
}

Result<void> Daemon::open(std::string& message) {
    for (const auto& [name, value] : {std::pair<const char*, std::string>{"pid", std::to_string(::getpid())},
                                      {"device", options_.device}, {"uuid", to_string(superblock_.uuid)}}) {
        if (auto set = files_.set(name, value); !set) {
            message = files_.directory() + "/" + name + ": " + describe(set.error());
            return set;
        }
    }
    auto reactor = disk::Reactor::create(reactor_options(superblock_), message);
    if (!reactor) return reactor.error();
    reactor_ = std::move(*reactor);
    if (auto registered = reactor_->register_file(device_.fd()); !registered) {
        message = options_.device + ": io_uring does not take it: " + describe(registered.error());
        return registered;
    }
    if (auto watched = watch_signals(message); !watched) return watched;
    for (const std::string& name : options_.references) {
        if (auto added = references_.add(name); !added) {
            message = "--service '" + name + "': " + describe(added.error());
            return added;
        }
    }
    runtime_ = std::make_unique<NodeRuntime>(*reactor_, device_, superblock_, timing_, identity(),
                                             [this](const node::NodeEvent& event) { happened(event); });
    auto clients = ClientService::open(*reactor_, runtime_->locks(), files_.directory(), message);
    if (!clients) return clients.error();
    clients_ = std::move(*clients);
    if (auto surfaces = open_surfaces(message); !surfaces) return surfaces;
    auto control = ControlServer::open(*reactor_, files_.directory() + "/" + control_socket_name, *this, message);
    if (!control) return control.error();
    control_ = std::move(*control);
    return {};
}

Result<void> Daemon::open_surfaces(std::string& message) {
    const auto members = [this](const std::string& lockspace) { return runtime_->members(lockspace); };
    auto surfaces = Surfaces::open(files_.directory(), surface_cluster_name(superblock_), *clients_, members, message);
    if (!surfaces) return surfaces.error();
    surfaces_ = std::move(*surfaces);
    clients_->lockspaces_changed = [this] { surfaces_->lockspaces_changed(reactor_->now()); };
    return {};
}

Result<void> Daemon::watch_signals(std::string& message) {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGTERM);
    ::sigaddset(&set, SIGINT);
    signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        message = std::string("signalfd: ") + std::strerror(errno);
        return Error{Errc::io, errno, 0, "signalfd"};
    }
    reactor_->watch(signals_.get(), POLLIN, [this](std::uint32_t) { signalled(); });
    return {};
}

std::string Daemon::node_name() const { return options_.name.empty() ? host_name() : options_.name; }

node::Identity Daemon::identity() const {
    const HostId host = read_host_id();
    if (!host.warning.empty()) log(LogLevel::warning, host.warning);
    node::Identity identity;
    identity.requested = options_.node;
    identity.host = host.uuid;
    identity.boot = host.boot;
    identity.host_name = host_name();
    identity.node_name = node_name();
    identity.version = SDLM_VERSION;
    identity.pid = static_cast<std::uint32_t>(::getpid());
    identity.started_unix = static_cast<std::uint64_t>(::time(nullptr));
    identity.nonce_seed = random_seed();
    return identity;
}

int Daemon::run() {
    set_state(State::joining);
    log(LogLevel::info, options_.device + ": volume " + to_string(superblock_.uuid) + ", run directory " +
                            files_.directory() + ": joining");
    runtime_->start();
    reactor_->set_round_end([this] { return round_end(); });
    reactor_->run();
    drop_mounts();
    surfaces_->end();
    clients_->leave();
    return exit_code_;
}

Instant Daemon::round_end() {
    clients_->before_pump(reactor_->now());
    const Instant pumped = runtime_->pump();
    const Instant wake = earlier(earlier(pumped, clients_->after_pump(reactor_->now())),
                                 earlier(notifier_.keep_alive(reactor_->now()), surfaces_->round_end(reactor_->now())));
    if (state_ == State::leaving && disk::boottime_now() >= leave_bound_) {
        const std::string bound = std::to_string((timing_.lease + timing_.stop()).ms());
        log(LogLevel::error, "could not leave within " + bound + " ms: " + options_.device +
                                 " does not complete writes; others wait for the end of the lease");
        files_.keep_state();
        finish(1);
    }
    return earlier(wake, leave_bound_);
}

void Daemon::set_state(State state) {
    state_ = state;
    if (auto set = files_.set("state", text(state)); !set)
        log(LogLevel::warning, files_.directory() + "/state: " + describe(set.error()));
}

void Daemon::finish(int exit_code) {
    if (exit_code != 0) exit_code_ = exit_code;
    reactor_->stop();
}

void Daemon::begin_leave(int exit_code) {
    if (state_ == State::leaving) return;
    notifier_.send("STOPPING=1\nSTATUS=leaving");
    if (state_ == State::lost) return finish(1);
    if (exit_code != 0) exit_code_ = exit_code;
    log(LogLevel::info, "leaving");
    set_state(State::leaving);
    leave_bound_ = disk::boottime_now() + timing_.lease + timing_.stop();
    drop_mounts();
    surfaces_->end();
    clients_->leave();
    runtime_->leave();
}

void Daemon::signalled() {
    signalfd_siginfo signal{};
    while (::read(signals_.get(), &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
        const std::string name = signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM";
        if (state_ == State::leaving) {
            log(LogLevel::warning, name + " again: ending at once; others wait for the end of the lease");
            return finish(1);
        }
        log(LogLevel::notice, name);
        begin_leave(0);
    }
}

void Daemon::drop_mounts() {
    for (auto& [directory, dlmfs] : mounts_) {
        dlmfs->unmount();
        if (!references_.remove(mount_reference(directory))) SDLM_UNREACHABLE();
    }
    mounts_.clear();
}

void Daemon::unmounted(const std::string& directory) {
    log(LogLevel::info, directory + ": unmounted");
    if (mounts_.erase(directory) == 0) return;
    if (!references_.remove(mount_reference(directory))) SDLM_UNREACHABLE();
    released();
}

// Nobody needs the daemon any more, or, after the lease was lost, nobody needs its errors any more.
void Daemon::released() {
    if (state_ == State::lost && mounts_.empty() && options_.on_lease_loss == OnLeaseLoss::stay_while_mounted)
        return finish(1);
    if (!references_.empty() || clients_->counts().lockspaces > 0) return;
    log(LogLevel::info, "the last reference is gone");
    begin_leave(0);
}

void Daemon::happened(const node::NodeEvent& event) {
    std::visit([this](const auto& what) { on(what); }, event);
}

void Daemon::on(const node::Joined& event) {
    if (state_ != State::joining) return;
    clients_->live(event.node);
    surfaces_->live();
    if (auto set = files_.set("node", std::to_string(event.node)); !set)
        log(LogLevel::warning, files_.directory() + "/node: " + describe(set.error()));
    set_state(State::live);            // last: who waits for it finds all the rest
    log(LogLevel::notice, "live as " + node_text(event.node) + ", generation " +
                              std::to_string(event.incarnation.generation));
    for (const std::string& directory : options_.mounts) {
        if (const Problem problem = mount({directory, options_.allow_other})) {
            log(LogLevel::error, *problem);
            return begin_leave(1);
        }
    }
    notifier_.send("READY=1\nSTATUS=live as " + node_text(event.node));
}

void Daemon::on(const node::JoinFailed& event) {
    problem_ = event.message.empty() ? describe(event.error) : event.message;
    log(LogLevel::error, options_.device + ": cannot join: " + problem_);
    notifier_.send("STATUS=cannot join: " + problem_);
    finish(1);
}

void Daemon::on(const node::Left&) {
    log(LogLevel::notice, "left");
    finish(0);
}

void Daemon::on(const node::LeaseLost& event) {
    problem_ = event.reason;
    log(LogLevel::error, options_.device + ": LEASE LOST: " + event.reason +
                             "; this node holds no lock any more, all calls on its mounts fail with EIO");
    notifier_.send("STATUS=lease lost: " + event.reason);
    const bool was_leaving = state_ == State::leaving;
    leave_bound_ = never;
    set_state(State::lost);
    files_.keep_state();
    exit_code_ = 1;
    for (auto& [directory, dlmfs] : mounts_) dlmfs->lease_lost();
    surfaces_->end();
    clients_->lost();
    const bool stay = options_.on_lease_loss == OnLeaseLoss::stay ||
                      (options_.on_lease_loss == OnLeaseLoss::stay_while_mounted && !mounts_.empty());
    if (was_leaving || !stay) return finish(1);
    log(LogLevel::notice, mounts_.empty() ? "staying until stopped" : "staying until unmounted or stopped");
}

void Daemon::on(const node::PeerJoined& event) { log(LogLevel::info, node_text(event.node) + " has joined"); }

void Daemon::on(const node::PeerLeft& event) { log(LogLevel::info, node_text(event.node) + " has left"); }

void Daemon::on(const node::PeerEvicted& event) {
    log(LogLevel::warning, node_text(event.node) + ", generation " + std::to_string(event.incarnation.generation) +
                               ", was found dead and evicted" + (event.by_me ? " by this node" : ""));
}

void Daemon::on(const node::Warning& event) { log(LogLevel::warning, options_.device + ": " + event.message); }

}  // namespace sdlm::tools
