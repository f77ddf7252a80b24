// SPDX-License-Identifier: LGPL-2.1-or-later
// Ends the programs that hold locks of a node that may hold them no longer: SIGTERM at once, SIGKILL when they had time
// to hear of it, by process descriptors, so that a number that was given away meanwhile harms nobody.
#pragma once
#include <map>

#include "disk/base/instant.hpp"
#include "heartbeat/timing.hpp"
#include "tools/common/unique_fd.hpp"
#include "tools/guardian/ledger.hpp"

namespace sdlm::tools {

class ClientStopper {
public:
    // `ledger` outlives it.
    ClientStopper(const Ledger& ledger, const heartbeat::Timing& timing, Instant begin)
        : ledger_(ledger), timing_(timing), begin_(begin) {}

    // Looks once; true: nobody uses a lock of this node any more. Call again within stop_look.
    bool step(Instant now);
    bool unknown_holders() const { return ledger_.untracked.load() > 0; }

    static constexpr Duration stop_look = milliseconds(5);

private:
    struct Target {
        UniqueFd process;
        bool terminated = false, killed = false;
    };
    bool stopped(const LedgerHolder& holder, Instant now);

    const Ledger& ledger_;
    const heartbeat::Timing timing_;
    const Instant begin_;
    std::map<const LedgerHolder*, Target> targets_;
};

}  // namespace sdlm::tools
