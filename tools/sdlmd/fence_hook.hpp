// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs the administrator's program when a peer is evicted, so that its host is cut off from the storage for sure (STONITH,
// SCSI-3 or NVMe reservations). Never blocks the node: one process for each event, looked at when it ends. The
// environment is described in sdlmd(8).
#pragma once
#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "disk/io/reactor.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

inline constexpr Duration fence_hook_patience = milliseconds(60'000);     // then it is killed, which is a failure
inline constexpr Duration fence_hook_pause = milliseconds(2'000);         // before it is tried again

class FenceHook {
public:
    using Variables = std::vector<std::pair<std::string, std::string>>;
    using Done = std::function<void(bool success)>;

    FenceHook(disk::Reactor& reactor, std::string program) : reactor_(reactor), program_(std::move(program)) {}
    ~FenceHook();                                                         // kills what still runs
    FenceHook(const FenceHook&) = delete;
    FenceHook& operator=(const FenceHook&) = delete;

    // Waits for its end, for fence_hook_patience at most: before the node takes part, and after it has left.
    bool run_now(const Variables& variables);
    // `done` is called later, on the reactor's thread, once.
    void run(const Variables& variables, Done done);
    // Kills what is over its time; when to look again.
    Instant look(Instant now);

private:
    struct Run {
        UniqueFd process;
        pid_t pid = -1;
        Instant until;
        std::string action;
        Done done;
    };
    Run begin(const Variables& variables) const;         // without a `process`: could not be started
    bool finish(const Run& run) const;                   // it has ended: with success?
    void ended(int fd);

    disk::Reactor& reactor_;
    const std::string program_;
    std::map<int, Run> runs_;
};

}  // namespace sdlm::tools
