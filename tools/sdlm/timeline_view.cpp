// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/timeline_view.hpp"

#include <ostream>
#include <string>

#include "tools/common/table.hpp"

namespace sdlm::tools {

using nlohmann::json;

void print_timeline(std::ostream& out, const json& status) {
    const json& t = status.at("timing");
    const auto ms = [&](const char* name) { return t.at(name).get<std::int64_t>(); };
    const std::int64_t lease = ms("lease_ms"), stop = ms("stop_ms"), told = ms("told_ms");
    const std::int64_t watchdog = status.value("watchdog_ms", std::int64_t{0});
    const auto at = [](std::int64_t time) { return std::to_string(time) + " ms"; };

    out << "A node whose heartbeat stops, counted from the submission of its last one that completed:\n";
    Table slow({"AT", "WHAT"});
    slow.add({at(0), "the lease begins"});
    slow.add({at(ms("heartbeat_ms")), "the next heartbeat would be due; a hiccup of the storage costs only latency"});
    slow.add({at(lease), "the lease is over: nothing is granted any more, clients are told (EIO, POLLERR, the end of "
                         "their connections), SIGTERM where the policy is kill or reset"});
    slow.add({at(lease + told), "SIGKILL to programs that still hold locks, where the policy is kill or reset"});
    if (watchdog > 0)
        slow.add({at(lease + stop), "where the policy is reset and a program is still there, the watchdog (" +
                                        at(watchdog) + ", last fed by " + at(lease + stop - watchdog) +
                                        ") has reset the host"});
    else
        slow.add({at(lease + stop), "end of the time to stop; there is no watchdog: a program that cannot be killed "
                                    "is not stopped by anybody"});
    slow.add({at(ms("dead_ms")), "others may evict the node: the sum above, and 11 % for clocks that run wrong"});
    slow.add({at(ms("failover_bound_ms")), "what it held is granted to others at the latest"});
    slow.print(out);

    out << "A node that is proven dead earlier, counted from its end, on storage that answers:\n";
    Table fast({"WITHIN", "WHAT"});
    fast.add({at(ms("early_bound_ms")), "its daemon was killed: the guardian has stopped the programs that held locks "
                                        "(at most " + at(told) + " after they were told) and has said so in the slot"});
    fast.add({at(ms("early_bound_ms")), "it was asked to stop (sdlm fence): the same, by the daemon itself"});
    fast.add({at(ms("heartbeat_ms")), "it left cleanly"});
    fast.print(out);
}

}  // namespace sdlm::tools
