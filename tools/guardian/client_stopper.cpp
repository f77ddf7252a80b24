// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/guardian/client_stopper.hpp"

#include <signal.h>

#include "tools/common/process_fd.hpp"

namespace sdlm::tools {

bool ClientStopper::stopped(const LedgerHolder& holder, Instant now) {
    const auto pid = static_cast<pid_t>(holder.pid.load());
    const bool holds = holder.kills.load() + holder.resets.load() > 0;
    const auto found = targets_.find(&holder);
    if (found == targets_.end()) {
        if (pid == 0 || !holds) return true;
        UniqueFd process = open_process(pid);
        if (!process) return true;                    // gone already
        pid_t same = 0;
        if (process_start(pid, same) != holder.started.load()) return true;     // another one by now
        targets_.emplace(&holder, Target{std::move(process)});
        return stopped(holder, now);
    }
    Target& target = found->second;
    if (process_ended(target.process.get(), 0)) return true;
    if (!target.terminated) signal_process(target.process.get(), SIGTERM);
    target.terminated = true;
    if (now - begin_ >= timing_.told() && !target.killed) {
        signal_process(target.process.get(), SIGKILL);
        target.killed = true;
    }
    return false;
}

bool ClientStopper::step(Instant now) {
    bool all = !unknown_holders() && (ledger_.told.load() == 0 || now - begin_ >= timing_.told());
    for (std::size_t i = 0; i < ledger_.holders_used.load(); ++i) all = stopped(ledger_.holders[i], now) && all;
    return all;
}

}  // namespace sdlm::tools
