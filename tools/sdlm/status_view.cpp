// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/status_view.hpp"

#include <ostream>
#include <string>

#include "tools/common/table.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

std::string string(const json& object, const char* member) { return object.value(member, std::string()); }

void print_heading(std::ostream& out, const json& s) {
    const json& volume = s.at("volume");
    const json& timing = s.at("timing");
    out << "volume:   " << string(volume, "uuid");
    if (!string(volume, "label").empty()) out << " \"" << string(volume, "label") << '"';
    out << " on " << string(s, "device") << ", " << volume.at("slot_count") << " slots of " << volume.at("block_bytes")
        << " bytes\n";
    out << "daemon:   sdlm " << string(s, "version") << ", pid " << s.at("pid") << ", run directory "
        << string(s, "run_dir") << '\n';
    out << "node:     " << (s.at("node").is_null() ? "none yet" : s.at("node").dump()) << " ("
        << string(s, "name") << "), " << string(s, "state");
    if (s.at("state") == "live") out << ", lease left " << duration_text(s.at("lease_left_us").get<std::int64_t>());
    out << '\n';
    if (!string(s, "problem").empty()) out << "problem:  " << string(s, "problem") << '\n';
    out << "timing:   heartbeat " << timing.at("heartbeat_ms") << " ms, lease " << timing.at("lease_ms") << " ms\n";
    out << "failover: what a dead node held is granted to others within " << timing.at("failover_bound_ms") << " ms\n";
    out << "clients:  " << string(s, "client_policy") << " when the lease is lost; guardian "
        << (s.value("guardian_pid", 0) != 0 ? "pid " + s.at("guardian_pid").dump() : std::string("is gone")) << ", "
        << (s.value("watchdog_ms", 0) != 0 ? "watchdog " + s.at("watchdog_ms").dump() + " ms" : std::string("no watchdog"))
        << '\n';
    out << "last I/O: write " << duration_text(s.at("write_latency_us").get<std::int64_t>()) << ", read "
        << duration_text(s.at("read_latency_us").get<std::int64_t>()) << "; journal " << s.at("ring_used") << " of "
        << s.at("ring_pages") << " pages used\n";
    if (s.contains("libdlm") && s.at("libdlm").at("lockspaces") != 0) {
        const json& libdlm = s.at("libdlm");
        out << "libdlm:   " << libdlm.at("lockspaces") << " lockspaces, " << libdlm.at("handles") << " open handles, "
            << libdlm.at("locks") << " locks\n";
    }
    for (const json& mount : s.at("mounts")) out << "mounted:  " << mount.get<std::string>() << '\n';
}

void print_peers(std::ostream& out, const json& s) {
    Table table({"NODE", "NAME", "STATE", "HEARTBEAT AGE", "GENERATION", "LAST WRITE", "LAST READ", "RECORDS"});
    for (const json& peer : s.at("peers")) {
        const bool own = !s.at("node").is_null() && peer.at("node") == s.at("node");
        const json name = peer.value("name", json());
        table.add({peer.at("node").dump() + (own ? "*" : ""), name.is_string() ? name.get<std::string>() : "-",
                   string(peer, "verdict"), duration_text(peer.at("age_us").get<std::int64_t>()),
                   peer.at("incarnation").at("generation").dump(),
                   duration_text(peer.at("write_us").get<std::int64_t>()),
                   duration_text(peer.at("read_us").get<std::int64_t>()), peer.at("records").dump()});
    }
    table.print(out);
    for (const json& peer : s.at("peers")) {
        if (string(peer, "problem").empty()) continue;
        out << "slot " << peer.at("node") << ": " << string(peer, "problem") << '\n';
    }
}

void print_details(std::ostream& out, const json& s) {
    for (const json& peer : s.at("peers")) {
        out << "slot " << peer.at("node") << ": host " << string(peer, "host") << ", slot state "
            << string(peer, "slot_state") << ", nonce " << peer.at("incarnation").at("nonce") << ", sequence "
            << peer.at("sequence") << '\n';
    }
    Table references({"REFERENCE", "COUNT"});
    for (const auto& [name, count] : s.at("refs").items()) references.add({name, count.dump()});
    if (!s.at("refs").empty()) references.print(out);
    Table counters({"COUNTER", "SINCE START"});
    for (const auto& [name, count] : s.at("counters").items()) counters.add({name, count.dump()});
    counters.print(out);
}

}  // namespace

void print_status(std::ostream& out, const json& status, Detail detail) {
    print_heading(out, status);
    print_peers(out, status);
    if (detail == Detail::verbose) print_details(out, status);
}

}  // namespace sdlm::tools
