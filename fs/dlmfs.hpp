// SPDX-License-Identifier: LGPL-2.1-or-later
// A mounted dlmfs, served inside the daemon's reactor: one per daemon and directory. Nothing here blocks; a file call
// that has to wait for a lock is answered later. see fs/DLMFS.md
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"
#include "disk/io/reactor.hpp"
#include "fs/namespace_model.hpp"
#include "locks/core/lock_port.hpp"

namespace sdlm::fs {

struct MountOptions {
    std::string path;                       // an existing directory
    std::string fsname;                     // shown as the source of the mount: the device
    std::optional<bool> allow_other;        // other users may enter; default: when this process is root
    // How long an O_NONBLOCK open may wait behind another local program's request: two heartbeats of the volume.
    Duration trylock_bound = milliseconds(1000);
    // Told of every open file that is a lock: `hold` before its opener learns of it (with the opener's thread id), `drop`
    // with what `hold` returned when the last descriptor is closed. Both or none.
    std::function<std::uint64_t(pid_t)> hold;
    std::function<void(std::uint64_t)> drop;
};

class FuseSession;

class Dlmfs {
public:
    // Both outlive the object; everything happens on the reactor's thread.
    static Result<std::unique_ptr<Dlmfs>> create(disk::Reactor& reactor, locks::LockPort& port, MountOptions options,
                                                 std::string& message);
    // Unmounts what is still mounted.
    ~Dlmfs();
    Dlmfs(const Dlmfs&) = delete;
    Dlmfs& operator=(const Dlmfs&) = delete;

    // On failure `message` is a sentence for people. busy: a FUSE file system is mounted there.
    Result<void> mount(std::string& message);
    // Answers every waiting call with EIO, drops all holds, leaves all domains, unmounts (also while files are open).
    void unmount();
    bool mounted() const;
    // Called once, from posted work, after somebody else has unmounted it (umount, fusermount3 -u) and the domains have
    // been left. The callback may destroy the Dlmfs.
    void set_on_unmounted(std::function<void()> on_unmounted);
    // Waiting and later calls fail with EIO, poll shows POLLERR | POLLHUP. LockEvents::lease_lost does the same for a
    // mount that has a domain; the daemon calls this for the others.
    void lease_lost();

    ModelStatus status() const;

private:
    explicit Dlmfs(std::unique_ptr<FuseSession> session);
    std::unique_ptr<FuseSession> session_;
};

}  // namespace sdlm::fs
