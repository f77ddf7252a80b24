// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/commands.hpp"

#include <filesystem>
#include <ostream>
#include <system_error>

#include "tools/common/cli.hpp"
#include "tools/common/run_dirs.hpp"
#include "tools/common/table.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/locks_view.hpp"
#include "tools/sdlm/node_names.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

constexpr const char* program = "sdlm";
constexpr Duration name_patience = milliseconds(1000);
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

int Commands::fence(NodeIndex node) {
    return simple("fence", {{"node", node}},
                  "node " + std::to_string(node) + " is asked to stop itself; sdlm status shows when it has");
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
