// SPDX-License-Identifier: LGPL-2.1-or-later
// What a node daemon offers to its administrator. sdlmd implements it, ControlServer calls it on the reactor's thread;
// no call blocks longer than a mount(2). see tools/control/PROTOCOL.md
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "heartbeat/timing.hpp"
#include "locks/node/node_core.hpp"
#include "tools/control/references.hpp"

namespace sdlm::tools {

// nullopt: done. Otherwise a whole sentence for people: what failed, where, what to do.
using Problem = std::optional<std::string>;

struct DaemonStatus {
    node::NodeStatus node;
    disk::Superblock superblock;
    heartbeat::Timing timing;
    std::string device;
    std::string run_dir;
    std::string node_name;
    std::string version;
    std::uint32_t pid = 0;
    std::vector<std::string> mounts;        // directories of mounted dlmfs
    std::size_t lockspaces = 0;             // of libdlm programs on this node
    std::size_t handles = 0;                // open by programs
    std::size_t client_locks = 0;           // of programs, orphans included
    std::string client_policy;              // of what has none of its own
    std::uint32_t guardian_pid = 0;         // 0: none
    std::uint32_t watchdog_ms = 0;          // its timeout; 0: none
    std::string problem;                    // why the node is lost or failed, else empty
};

struct MountRequest {
    std::string directory;                  // absolute
    bool allow_other = false;
    std::string client_policy;              // notify, kill, reset; empty: the daemon's default
};

struct StopRequest {
    bool force = false;                     // also with references or locks in use
};

class ControlTarget {
public:
    virtual ~ControlTarget() = default;
    virtual DaemonStatus status() = 0;
    // NodeCore::lock_rows().
    virtual std::vector<node::LockRow> lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) = 0;
    virtual Problem fence(NodeIndex node) = 0;
    // Its host does not run any more: its locks go to others now.
    virtual Problem evict(NodeIndex) { return "this daemon cannot do that"; }
    // Starts a clean leave; the process ends by itself when it is through.
    virtual Problem stop(const StopRequest& request) = 0;
    virtual Problem add_reference(const std::string& name) = 0;
    // The last one starts a clean leave, as stop() does.
    virtual Problem remove_reference(const std::string& name) = 0;
    virtual const References& references() const = 0;
    // Mounted when it returns; takes the reference "mount:DIR".
    virtual Problem mount(const MountRequest& request) = 0;
    // Unmounted when it returns; drops the reference.
    virtual Problem unmount(const std::string& directory) = 0;
    // The files that other programs read (sdlm with-dlm) are up to date when it returns.
    virtual Problem refresh_surfaces() { return "this daemon shows nothing to other programs"; }
};

}  // namespace sdlm::tools
