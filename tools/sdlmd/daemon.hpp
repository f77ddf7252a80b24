// SPDX-License-Identifier: LGPL-2.1-or-later
// One node: runtime, control socket and dlmfs mounts put together on one reactor, from joining to the clean leave.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "disk/io/block_device.hpp"
#include "disk/io/reactor.hpp"
#include "fs/dlmfs.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/control/control_server.hpp"
#include "tools/guardian/guardian_link.hpp"
#include "tools/sdlmd/client_service.hpp"
#include "tools/sdlmd/fence_hook.hpp"
#include "tools/sdlmd/node_runtime.hpp"
#include "tools/sdlmd/run_files.hpp"
#include "tools/sdlmd/service_notifier.hpp"
#include "tools/sdlmd/surfaces.hpp"

namespace sdlm::tools {

enum class OnLeaseLoss : std::uint8_t { stay_while_mounted, stay, exit };

struct DaemonOptions {
    std::string device;
    std::optional<NodeIndex> node;
    std::string name;                        // empty: the host's name
    std::string run_dir;                     // empty: default_run_dir()
    std::vector<std::string> mounts;         // absolute
    std::vector<std::string> references;     // held from the start
    bool allow_other = false;
    OnLeaseLoss on_lease_loss = OnLeaseLoss::stay_while_mounted;
    ClientPolicy client_policy = ClientPolicy::notify;
    std::map<std::string, ClientPolicy> lockspace_policy;    // libdlm lockspaces that have one of their own
    std::string watchdog;                    // device; empty: none
    std::string fence_hook;                  // program; empty: none
    bool fence_before_grant = false;         // evictions wait for the hook's success
};

class Daemon final : public ControlTarget {
public:
    // Everything that can fail before the node takes part: device, superblock, run directory, io_uring, control socket.
    // SIGTERM and SIGINT must be blocked already. `message` is a sentence for people on failure.
    static Result<std::unique_ptr<Daemon>> create(const DaemonOptions& options, std::string& message);
    ~Daemon() override;
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    // Joins, serves, leaves. 0: clean leave; 1: the node failed to join, lost its lease, or could not leave in time.
    int run();

    DaemonStatus status() override;
    std::vector<node::LockRow> lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) override;
    Problem fence(NodeIndex node) override;
    Problem evict(NodeIndex node) override;
    Problem stop(const StopRequest& request) override;
    Problem add_reference(const std::string& name) override;
    Problem remove_reference(const std::string& name) override;
    const References& references() const override { return references_; }
    Problem mount(const MountRequest& request) override;
    Problem unmount(const std::string& directory) override;
    Problem refresh_surfaces() override;

private:
    enum class State : std::uint8_t { joining, live, leaving, lost };
    static const char* text(State state) noexcept;
    static std::string mount_reference(const std::string& directory) { return "mount:" + directory; }

    Daemon(const DaemonOptions& options, disk::BlockDevice device, const disk::Superblock& superblock,
           const heartbeat::Timing& timing, RunFiles files);
    Result<void> open(std::string& message);
    Result<void> watch_signals(std::string& message);
    Result<void> open_surfaces(std::string& message);
    void guard_clients();
    ClientPolicy policy_of(const std::string& lockspace) const;
    FenceHook::Variables hook_variables(const char* action) const;
    void call_hook(NodeIndex peer, const Incarnation& life, const char* reason, FenceHook::Done done);
    void cut_off(const node::PeerSilent& peer);
    node::Identity identity() const;
    std::string node_name() const;

    Instant round_end();
    void set_state(State state);
    void finish(int exit_code);
    void begin_leave(int exit_code);
    void signalled();
    void unmounted(const std::string& directory);
    void stay_or_finish();
    void tell_clients(const std::string& reason);
    void drop_mounts();
    void released();

    void happened(const node::NodeEvent& event);
    void on(const node::Joined& event);
    void on(const node::JoinFailed& event);
    void on(const node::Left& event);
    void on(const node::FenceBegun& event);
    void on(const node::Fenced& event);
    void on(const node::LeaseLost& event);
    void on(const node::PeerJoined& event);
    void on(const node::PeerLeft& event);
    void on(const node::PeerSilent& event);
    void on(const node::PeerEvicted& event);
    void on(const node::Warning& event);

    const DaemonOptions options_;
    const disk::BlockDevice device_;
    const disk::Superblock superblock_;
    const heartbeat::Timing timing_;
    RunFiles files_;
    ServiceNotifier notifier_;
    UniqueFd signals_;
    // Destroyed from the bottom up: mounts leave the port before the runtime goes, all before the reactor.
    std::unique_ptr<disk::Reactor> reactor_;
    std::unique_ptr<GuardianLink> guardian_;
    std::unique_ptr<FenceHook> hook_;
    std::vector<std::pair<Instant, node::PeerSilent>> hook_again_;   // evictions whose hook has failed
    std::unique_ptr<NodeRuntime> runtime_;
    std::unique_ptr<ClientService> clients_;
    std::unique_ptr<Surfaces> surfaces_;
    std::unique_ptr<ControlServer> control_;
    std::map<std::string, std::unique_ptr<fs::Dlmfs>> mounts_;
    References references_;
    State state_ = State::joining;
    Instant leave_bound_ = never;
    int exit_code_ = 0;
    std::string problem_;
    bool told_ = false;                      // clients know that this node holds nothing any more
};

}  // namespace sdlm::tools
