// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon offers on its control socket.
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "disk/base/assert.hpp"
#include "tools/sdlmd/daemon.hpp"
#include "tools/common/log.hpp"

namespace sdlm::tools {
namespace {

// One spelling per directory, without asking the file system: it may be a mount that this thread serves.
std::string normal(const std::string& directory) {
    std::string path = std::filesystem::path(directory).lexically_normal().string();
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

std::string names_of(const References& references) {
    std::string names;
    for (const auto& [name, count] : references.counts()) {
        if (!names.empty()) names += ", ";
        names += name;
        if (count > 1) names += " (" + std::to_string(count) + " times)";
    }
    return names;
}

}  // namespace

DaemonStatus Daemon::status() {
    DaemonStatus status;
    status.node = runtime_->status();
    status.superblock = superblock_;
    status.timing = timing_;
    status.device = options_.device;
    status.run_dir = files_.directory();
    status.node_name = node_name();
    status.version = SDLM_VERSION;
    status.pid = static_cast<std::uint32_t>(::getpid());
    for (const auto& [directory, dlmfs] : mounts_) status.mounts.push_back(directory);
    status.client_policy = sdlm::tools::text(options_.client_policy);
    status.guardian_pid = static_cast<std::uint32_t>(std::max<pid_t>(guardian_->pid(), 0));
    status.watchdog_ms = static_cast<std::uint32_t>(guardian_->watchdog_timeout().ms());
    status.problem = problem_;
    const ClientCounts clients = clients_->counts();
    status.lockspaces = clients.lockspaces;
    status.handles = clients.handles;
    status.client_locks = clients.locks;
    return status;
}

std::vector<node::LockRow> Daemon::lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) {
    return runtime_->lock_rows(after, max);
}

Problem Daemon::fence(NodeIndex node) {
    if (state_ != State::live)
        return std::string("this node is ") + text(state_) + ": it cannot ask another one to stop";
    auto requested = runtime_->request_fence(node);
    if (!requested)
        return "node " + std::to_string(node) + " cannot be fenced: " + describe(requested.error()) +
               "; 'sdlm status' shows the live nodes";
    log(LogLevel::notice, "asked node " + std::to_string(node) + " to stop itself");
    return std::nullopt;
}

Problem Daemon::evict(NodeIndex node) {
    if (state_ != State::live)
        return std::string("this node is ") + text(state_) + ": it cannot evict another one";
    if (auto declared = runtime_->declare_dead(node); !declared) {
        const std::string what = "node " + std::to_string(node);
        if (declared.error().code == Errc::busy)
            return what + " is alive: its heartbeat changed within the last " + std::to_string(timing_.quiet().ms()) +
                   " ms; 'sdlm fence " + std::to_string(node) + "' asks it to stop";
        return what + " cannot be evicted: " + describe(declared.error()) + "; 'sdlm status' shows the nodes";
    }
    log(LogLevel::notice, "node " + std::to_string(node) + " is evicted at an administrator's word");
    return std::nullopt;
}

Problem Daemon::stop(const StopRequest& request) {
    if (!request.force && !references_.empty())
        return "the daemon is in use by " + names_of(references_) + "; end those first, or force the stop";
    if (const ClientCounts clients = clients_->counts(); !request.force && clients.handles + clients.locks > 0)
        return "the daemon is in use by programs: " + std::to_string(clients.handles) + " open libdlm handles, " +
               std::to_string(clients.locks) + " locks; end those first, or force the stop";
    log(LogLevel::notice, "asked to stop");
    begin_leave(0);
    return std::nullopt;
}

Problem Daemon::add_reference(const std::string& name) {
    if (state_ == State::leaving || state_ == State::lost)
        return std::string("the daemon is ") + text(state_) + ": it takes no new references; start it again";
    if (auto added = references_.add(name); !added)
        return "reference '" + name + "': " + describe(added.error());
    return std::nullopt;
}

Problem Daemon::remove_reference(const std::string& name) {
    for (const auto& [directory, dlmfs] : mounts_) {
        if (name == mount_reference(directory)) return "reference '" + name + "' belongs to a mount; unmount it";
    }
    if (auto removed = references_.remove(name); !removed)
        return "reference '" + name + "': " + describe(removed.error());
    released();
    return std::nullopt;
}

Problem Daemon::mount(const MountRequest& request) {
    if (state_ != State::live)
        return std::string("this node is ") + text(state_) + ": nothing can be mounted" +
               (state_ == State::joining ? " yet; try again when it is live" : "; start the daemon again");
    const std::string directory = normal(request.directory);
    if (directory.empty() || directory[0] != '/') return "'" + request.directory + "': give an absolute directory";
    if (mounts_.contains(directory)) return directory + ": mounted already by this daemon";
    if (auto added = references_.add(mount_reference(directory)); !added)
        return directory + ": no reference can be taken: " + describe(added.error());

    fs::MountOptions options;
    options.path = directory;
    options.fsname = options_.device;
    options.trylock_bound = timing_.answer();
    if (request.allow_other) options.allow_other = true;
    ClientPolicy policy = options_.client_policy;
    if (!request.client_policy.empty() && !parse(request.client_policy, policy))
        return "client policy '" + request.client_policy + "': give notify, kill or reset";
    if (policy == ClientPolicy::reset && !guardian_->has_watchdog())
        return directory + ": client policy reset needs a watchdog; start the daemon with --watchdog";
    options.hold = [this, policy](pid_t thread) { return guardian_->hold(thread, policy); };
    options.drop = [this](std::uint64_t hold) { guardian_->drop(hold); };
    std::string message;
    auto dlmfs = fs::Dlmfs::create(*reactor_, runtime_->locks(), std::move(options), message);
    bool mounted = dlmfs.has_value();
    if (mounted) mounted = (*dlmfs)->mount(message).has_value();
    if (!mounted) {
        if (!references_.remove(mount_reference(directory))) SDLM_UNREACHABLE();
        return message;
    }
    (*dlmfs)->set_on_unmounted([this, directory] { unmounted(directory); });
    mounts_.emplace(directory, std::move(*dlmfs));
    log(LogLevel::info, directory + ": mounted");
    return std::nullopt;
}

Problem Daemon::refresh_surfaces() {
    if (state_ != State::live) return std::string("this node is ") + text(state_) + ": there is no DLM to show";
    surfaces_->refresh(reactor_->now());
    return std::nullopt;
}

Problem Daemon::unmount(const std::string& directory) {
    const auto found = mounts_.find(normal(directory));
    if (found == mounts_.end())
        return directory + ": not mounted by this daemon; 'sdlm status' shows its mounts";
    const std::string path = found->first;
    found->second->unmount();
    unmounted(path);
    return std::nullopt;
}

}  // namespace sdlm::tools
