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
#include "tools/common/log.hpp"

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
    auto guardian = GuardianLink::start(superblock_, timing_, device_.fd(), options_.watchdog, message);
    if (!guardian) return guardian.error();
    guardian_ = std::move(*guardian);
    guardian_->watch(*reactor_, [this] { runtime_->clients_stopped(); });
    if (!options_.fence_hook.empty()) hook_ = std::make_unique<FenceHook>(*reactor_, options_.fence_hook);
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
    guard_clients();
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

ClientPolicy Daemon::policy_of(const std::string& lockspace) const {
    const auto own = options_.lockspace_policy.find(lockspace);
    return own == options_.lockspace_policy.end() ? options_.client_policy : own->second;
}

// Every program that has a lockspace open counts as one that holds locks of it.
void Daemon::guard_clients() {
    clients_->opened = [this](const std::string& lockspace, pid_t pid) {
        return guardian_->hold(pid, policy_of(lockspace));
    };
    clients_->closed = [this](std::uint64_t hold) { guardian_->drop(hold); };
    runtime_->set_lease_watcher([this](const node::LeaseFacts& facts) { guardian_->note(facts); });
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
    identity.hold_evictions = options_.fence_before_grant;
    return identity;
}

int Daemon::run() {
    set_state(State::joining);
    log(LogLevel::info, options_.device + ": volume " + to_string(superblock_.uuid) + ", run directory " +
                            files_.directory() + ": joining");
    if (hook_ && !hook_->run_now(hook_variables("register"))) {
        log(LogLevel::error, options_.fence_hook + " could not register this node; it does not take part");
        return 1;
    }
    runtime_->start();
    reactor_->set_round_end([this] { return round_end(); });
    reactor_->run();
    drop_mounts();
    surfaces_->end();
    clients_->leave();
    // After a failure the slot may still say that this node lives: the guardian then sees to its end.
    guardian_->note(runtime_->lease());
    if (hook_ && runtime_->lease().over) (void)hook_->run_now(hook_variables("unregister"));
    return exit_code_;
}

Instant Daemon::round_end() {
    clients_->before_pump(reactor_->now());
    const Instant pumped = runtime_->pump();
    Instant wake = earlier(earlier(pumped, clients_->after_pump(reactor_->now())),
                                 earlier(notifier_.keep_alive(reactor_->now()), surfaces_->round_end(reactor_->now())));
    if (state_ == State::leaving && disk::boottime_now() >= leave_bound_) {
        const std::string bound = std::to_string((timing_.lease + timing_.stop()).ms());
        log(LogLevel::error, "could not leave within " + bound + " ms: " + options_.device +
                                 " does not complete writes; others wait for the end of the lease");
        files_.keep_state();
        finish(1);
    }
    if (hook_) wake = earlier(wake, hook_->look(reactor_->now()));
    for (const auto& [at, peer] : std::exchange(hook_again_, {})) {
        if (at <= reactor_->now()) cut_off(peer);
        else hook_again_.emplace_back(at, peer);
    }
    for (const auto& [at, peer] : hook_again_) wake = earlier(wake, at);
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
        if (const Problem problem = mount({directory, options_.allow_other, {}})) {
            log(LogLevel::error, *problem);
            return begin_leave(1);
        }
    }
    notifier_.send("READY=1\nSTATUS=live as " + node_text(event.node));
}

FenceHook::Variables Daemon::hook_variables(const char* action) const {
    return {{"SDLM_ACTION", action},
            {"SDLM_DEVICE", options_.device},
            {"SDLM_VOLUME_UUID", to_string(superblock_.uuid)},
            {"SDLM_NODE", std::to_string(*options_.node)},
            {"SDLM_NODE_NAME", node_name()}};
}

void Daemon::call_hook(NodeIndex peer, const Incarnation& life, const char* reason, FenceHook::Done done) {
    if (!hook_) return;
    std::string host;
    for (const node::PeerStatus& p : runtime_->status().peers)
        if (p.node == peer) host = to_string(p.header.host);
    FenceHook::Variables variables = hook_variables("evict");
    variables.insert(variables.end(), {{"SDLM_PEER", std::to_string(peer)},
                                       {"SDLM_PEER_HOST", host},
                                       {"SDLM_PEER_GENERATION", std::to_string(life.generation)},
                                       {"SDLM_REASON", reason}});
    hook_->run(variables, std::move(done));
}

// Nobody gets the peer's locks before the hook says that it is cut off; until then it is tried again and again.
void Daemon::cut_off(const node::PeerSilent& peer) {
    call_hook(peer.node, peer.incarnation, "lease", [this, peer](bool success) {
        if (success) return runtime_->confirm_eviction(peer.node, peer.incarnation);
        hook_again_.emplace_back(disk::boottime_now() + fence_hook_pause, peer);
    });
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

// Once: by a fence, or by the end of the lease.
void Daemon::tell_clients(const std::string& reason) {
    problem_ = reason;
    if (std::exchange(told_, true)) return;
    notifier_.send("STATUS=stopped: " + reason);
    leave_bound_ = never;
    exit_code_ = 1;
    for (auto& [directory, dlmfs] : mounts_) dlmfs->lease_lost();
    surfaces_->end();
    clients_->lost();
}

void Daemon::on(const node::FenceBegun& event) {
    log(LogLevel::error, options_.device + ": " + event.reason + "; stopping the clients");
    tell_clients(event.reason);
    guardian_->ask_stop();
}

void Daemon::on(const node::Fenced& event) {
    log(LogLevel::error, options_.device + ": " + event.reason + ": the slot says so, other nodes go on");
    stay_or_finish();
}

void Daemon::on(const node::LeaseLost& event) {
    log(LogLevel::error, options_.device + ": LEASE LOST: " + event.reason +
                             "; this node holds no lock any more, all calls on its mounts fail with EIO");
    tell_clients(event.reason);
    stay_or_finish();
}

// Nothing is held any more. Programs that still have files open get errors from here rather than a dead mount.
void Daemon::stay_or_finish() {
    const bool was_leaving = state_ == State::leaving;
    set_state(State::lost);
    files_.keep_state();
    const bool stay = options_.on_lease_loss == OnLeaseLoss::stay ||
                      (options_.on_lease_loss == OnLeaseLoss::stay_while_mounted && !mounts_.empty());
    if (was_leaving || !stay) return finish(1);
    log(LogLevel::notice, mounts_.empty() ? "staying until stopped" : "staying until unmounted or stopped");
}

void Daemon::on(const node::PeerJoined& event) { log(LogLevel::info, node_text(event.node) + " has joined"); }

void Daemon::on(const node::PeerLeft& event) { log(LogLevel::info, node_text(event.node) + " has left"); }

void Daemon::on(const node::PeerSilent& event) {
    log(LogLevel::warning, node_text(event.node) + " is silent for longer than its lease; running " +
                               options_.fence_hook + " before its locks go to others");
    cut_off(event);
}

void Daemon::on(const node::PeerEvicted& event) {
    log(LogLevel::warning, node_text(event.node) + ", generation " + std::to_string(event.incarnation.generation) +
                               (event.proven ? ", has stopped itself" : ", was found dead and evicted") +
                               (event.by_me && !event.proven ? " by this node" : ""));
    if (!options_.fence_before_grant || event.proven)
        call_hook(event.node, event.incarnation, event.proven ? "fenced" : "lease", [](bool) {});
}

void Daemon::on(const node::Warning& event) { log(LogLevel::warning, options_.device + ": " + event.message); }

}  // namespace sdlm::tools
