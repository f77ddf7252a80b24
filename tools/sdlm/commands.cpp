// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/commands.hpp"

#include <unistd.h>

#include <filesystem>
#include <ostream>
#include <system_error>

#include "tools/common/cli.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/table.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/locks_view.hpp"
#include "tools/sdlm/node_names.hpp"
#include "tools/sdlm/timeline_view.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

constexpr const char* program = "sdlm";
constexpr Duration name_patience = milliseconds(1000);
constexpr Duration end_look = milliseconds(20);
constexpr Duration leave_patience = milliseconds(60'000);

Result<ControlClient> connect(const std::string& option, std::string& message) {
    SDLM_TRY(run_dir, choose_run_dir(option, run_root, message));
    return ControlClient::connect(run_dir, message);
}

void print(std::ostream& out, const json& value) {
    out << value.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
}

// The directory that is meant, without a look at what is mounted there: a dead mount must not hang the tool.
std::string mount_point(const std::string& directory) {
    std::error_code error;
    const auto path = std::filesystem::absolute(directory, error).lexically_normal();
    const auto leaf = path.has_filename() ? path : path.parent_path();
    const auto parent = std::filesystem::canonical(leaf.parent_path(), error);
    return error ? leaf.string() : (parent / leaf.filename()).string();
}

}  // namespace

int Commands::status(Detail detail) {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    const auto reply = client->call("status", {}, message);
    if (!reply) return failed(program, message);
    const auto refs = client->call("refs", {}, message);
    if (!refs) return failed(program, message);
    json status = reply->at("status");
    json peers = reply->value("peers", json::array());
    add_node_names(status.at("device"), peers, name_patience);
    status["peers"] = std::move(peers);
    status["refs"] = refs->value("refs", json::object());
    if (form_ == Form::json) print(out_, status);
    else print_status(out_, status, detail);
    return exit_ok;
}

int Commands::locks(const std::string& lockspace) {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    json arguments = json::object();
    if (!lockspace.empty()) arguments["lockspace"] = lockspace;
    const auto reply = client->call("locks", arguments, message);
    if (!reply) return failed(program, message);
    json rows = reply->value("rows", json::array());
    add_waits(rows);
    if (form_ == Form::json) print(out_, rows);
    else print_locks(out_, rows);
    return exit_ok;
}

int Commands::simple(const std::string& cmd, const json& arguments, const std::string& done) {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    if (!client->call(cmd, arguments, message)) return failed(program, message);
    if (form_ == Form::json) print(out_, {{"ok", true}});
    else if (!done.empty()) out_ << done << '\n';
    return exit_ok;
}

int Commands::timeline() {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    const auto reply = client->call("status", {}, message);
    if (!reply) return failed(program, message);
    if (form_ == Form::json) print(out_, reply->at("status").at("timing"));
    else print_timeline(out_, reply->at("status"));
    return exit_ok;
}

int Commands::fence(NodeIndex node, Waiting waiting) {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    const auto before = client->call("status", {}, message);
    if (!before) return failed(program, message);
    if (!client->call("fence", {{"node", node}}, message)) return failed(program, message);
    if (waiting == Waiting::yes) {
        for (const json& peer : before->value("peers", json::array()))
            if (peer.at("node") == node) return wait_for_end(*client, node, peer.at("incarnation"));
    }
    if (form_ == Form::json) print(out_, {{"ok", true}});
    else out_ << "node " << node << " is asked to stop itself; sdlm status shows when it has\n";
    return exit_ok;
}

// Until this daemon counts the life as over: at the latest by the clock, so there is no bound of its own.
int Commands::wait_for_end(ControlClient& client, NodeIndex node, const json& life) {
    for (;;) {
        std::string message;
        const auto reply = client.call("status", {}, message);
        if (!reply) return failed(program, message);
        std::string verdict = "left";                      // nothing of it is there any more
        for (const json& peer : reply->value("peers", json::array()))
            if (peer.at("node") == node && peer.at("incarnation") == life) verdict = peer.at("verdict");
        const bool over = verdict == "fenced" || verdict == "left" || verdict == "dead";
        if (!over) {
            ::usleep(static_cast<useconds_t>(end_look.ns / 1000));
            continue;
        }
        const bool by_clock = verdict == "dead";
        if (form_ == Form::json) print(out_, {{"ok", true}, {"ended", by_clock ? "evicted" : verdict}});
        else out_ << "node " << node << (by_clock ? " did not answer and was evicted\n" : " has stopped itself\n");
        return by_clock ? exit_evicted : exit_ok;
    }
}

int Commands::evict(NodeIndex node, bool host_is_off) {
    if (!host_is_off)
        return failed(program, "evict gives the locks of node " + std::to_string(node) +
                                   " to others before its lease is over; that is safe only when its host cannot write any "
                                   "more: see to that, then say so with --host-is-off");
    return simple("evict", {{"node", node}}, "node " + std::to_string(node) + " is evicted");
}

int Commands::stop(bool force) {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    if (!client->call("stop", {{"force", force}}, message)) return failed(program, message);
    if (!client->wait_exit(leave_patience, message)) return failed(program, message);
    if (form_ == Form::json) print(out_, {{"ok", true}});
    return exit_ok;
}

int Commands::refs() {
    std::string message;
    auto client = connect(run_dir_, message);
    if (!client) return failed(program, message);
    const auto reply = client->call("refs", {}, message);
    if (!reply) return failed(program, message);
    const json refs = reply->value("refs", json::object());
    if (form_ == Form::json) {
        print(out_, refs);
        return exit_ok;
    }
    Table table({"REFERENCE", "COUNT"});
    for (const auto& [name, count] : refs.items()) table.add({name, count.dump()});
    table.print(out_);
    return exit_ok;
}

int Commands::mount(const std::string& directory, bool allow_other) {
    std::error_code error;
    const auto path = std::filesystem::canonical(directory, error);
    if (error) return failed(program, "cannot mount on " + directory + ": " + error.message());
    if (!std::filesystem::is_directory(path, error)) {
        return failed(program, "cannot mount on " + directory + ": not a directory");
    }
    return simple("mount", {{"dir", path.string()}, {"allow_other", allow_other}}, "");
}

int Commands::umount(const std::string& directory) { return simple("umount", {{"dir", mount_point(directory)}}, ""); }

}  // namespace sdlm::tools
