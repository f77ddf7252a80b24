// SPDX-License-Identifier: LGPL-2.1-or-later
// The guardian: a small process beside each daemon, so that what must happen when a daemon dies or hangs does not
// depend on it. It stops the programs that hold locks when the lease ends, when the daemon asks for it or when the
// daemon is gone; feeds the watchdog; and, when a dead daemon's programs have ended within the lease, writes the last
// image of its slot, so that other nodes go on at once. see ARCHITECTURE.md, "The guardian"
#pragma once
#include <memory>
#include <optional>

#include "tools/common/unique_fd.hpp"
#include "tools/guardian/client_stopper.hpp"
#include "tools/guardian/ledger.hpp"
#include "tools/guardian/watchdog.hpp"

namespace sdlm::tools {

inline constexpr const char* guardian_name = "sdlm_guardian";       // argv[0] and comm: no killall of sdlmd meets it

// Descriptors that the daemon hands over, as numbers in argv, in this order.
struct GuardianFds {
    int ledger = -1;
    int device = -1;
    int daemon = -1;           // pidfd
    int wake = -1;             // eventfd: the ledger has news
    int answer = -1;           // eventfd: the clients have stopped
    int watchdog = -1;         // -1: none
};

class Guardian {
public:
    Guardian(Ledger& ledger, const GuardianFds& fds);
    int run();

private:
    bool daemon_gone() const;
    void begin_stop(Instant now, const char* why);
    bool hopeless(Instant now) const;
    void feed(Instant now);
    bool may_feed(Instant now) const;
    void wait(Instant until);
    void certify();
    Instant next_look(Instant now) const;

    Ledger& ledger_;
    const heartbeat::Timing timing_;
    const GuardianFds fds_;
    std::optional<Watchdog> watchdog_;
    UniqueFd timer_;
    std::optional<ClientStopper> stopper_;
    Instant stop_begun_ = never;
    Instant gone_since_ = never;
    bool stopped_ = false;
};

// main() of a process whose argv[0] is guardian_name.
int guardian_main(int argc, char** argv);

}  // namespace sdlm::tools
