// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/lock_command_holders.hpp"

#include <fstream>
#include <set>

#include "locks/core/mode.hpp"
#include "tools/common/escape.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/node_names.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

constexpr Duration patience = milliseconds(1000);

locks::Mode wanted(const LockOptions& options) {
    return options.sharing == Sharing::shared ? locks::Mode::PR : locks::Mode::EX;
}

bool in_the_way(const LockOptions& options, const json& row) {
    if (row.at("name") != escaped(options.name)) return false;
    // An own mode counts where programs use it; another node's, where it has not given it up when it was asked to.
    const std::string held = row.value(row.at("own").get<bool>() ? "used" : "held", "NL");
    for (const auto mode : {locks::Mode::CR, locks::Mode::CW, locks::Mode::PR, locks::Mode::PW, locks::Mode::EX})
        if (held == locks::text(mode)) return locks::conflicts(wanted(options), mode);
    return false;
}

// Processes of this node that hold it, from the daemon's debug file.
std::string processes(const LockOptions& options, const std::string& run_dir) {
    std::ifstream file(run_dir + "/debug/" + options.lockspace + "_locks");
    std::string line, text;
    const std::string quoted = "\"" + options.name + "\"";
    std::getline(file, line);
    for (std::set<std::string> seen; std::getline(file, line);) {
        std::vector<std::string> fields;
        for (std::size_t at = 0; fields.size() < 13;) {
            const std::size_t end = line.find(' ', at);
            if (end == std::string::npos) break;
            fields.push_back(line.substr(at, end - at));
            at = end + 1;
        }
        if (fields.size() < 13 || !line.ends_with(quoted) || fields[8] == "-1") continue;
        const auto mode = static_cast<locks::Mode>(std::stoi(fields[8]));
        if (locks::conflicts(wanted(options), mode) && seen.insert(fields[3]).second)
            text += (text.empty() ? ", pid " : ", ") + fields[3];
    }
    return text;
}

std::string node_text(const json& row, const json& peers) {
    std::string text = "node " + row.at("node").dump();
    for (const json& peer : peers)
        if (peer.at("node") == row.at("node") && peer.contains("name"))
            text += " (" + peer.at("name").get<std::string>() + ")";
    return text;
}

std::string ask(const LockOptions& options, const std::string& run_dir) {
    std::string message;
    auto client = ControlClient::connect(run_dir, message, patience);
    if (!client) return {};
    (void)client->call("refresh", {}, message);
    const auto locks = client->call("locks", {{"lockspace", escaped(options.lockspace)}}, message);
    const auto status = client->call("status", {}, message);
    if (!locks || !status) return {};
    json peers = status->value("peers", json::array());
    add_node_names(status->at("status").at("device"), peers, patience);
    std::string text;
    for (const json& row : locks->value("rows", json::array())) {
        if (!in_the_way(options, row)) continue;
        text += (text.empty() ? "held by " : ", ") + node_text(row, peers);
        if (row.at("own").get<bool>()) text += processes(options, run_dir);
    }
    return text;
}

}  // namespace

std::string lock_holders(const LockOptions& options, const std::string& run_dir) {
    try {
        if (std::string text = ask(options, run_dir); !text.empty()) return text;
    } catch (const std::exception&) {  // a daemon of another version: its answer has other members
    }
    return "held by somebody else, or others are before us";
}

}  // namespace sdlm::tools
