// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/control/request.hpp"

#include <algorithm>

#include "tools/common/escape.hpp"
#include "tools/control/control_server.hpp"

namespace sdlm::tools {

Request::Request(std::string_view line) { parse(line); }

void Request::parse(std::string_view line) {
    body_ = nlohmann::json::parse(line, nullptr, false);
    fatal_ = true;
    if (!body_.is_object()) return refuse("a request is one JSON object per line; this line is not one");
    const auto version = body_.find("v");
    if (version == body_.end() || !version->is_number_integer()) {
        return refuse("the request has no protocol version (\"v\":" + std::to_string(control_version) + ")");
    }
    if (*version != control_version) {
        return refuse("control protocol version " + version->dump() + " is not spoken here: this daemon (sdlm " +
                      SDLM_VERSION + ") speaks version " + std::to_string(control_version) +
                      "; use the tools that came with it");
    }
    fatal_ = false;
    const auto cmd = body_.find("cmd");
    if (cmd == body_.end() || !cmd->is_string()) {
        return refuse("the request has no command (\"cmd\":\"status\", ...)");
    }
    cmd_ = cmd->get<std::string>();
}

void Request::refuse(std::string why) {
    if (error_.empty()) error_ = std::move(why);
}

void Request::allow(std::initializer_list<std::string_view> members) {
    for (const auto& [name, value] : body_.items()) {
        if (name == "v" || name == "cmd") continue;
        if (std::find(members.begin(), members.end(), name) == members.end()) {
            return refuse("command " + cmd_ + " has no member \"" + escaped(name.substr(0, 64)) + "\"");
        }
    }
}

std::string Request::string(const char* member) {
    auto value = optional_string(member);
    if (!value) refuse("command " + cmd_ + " needs the member \"" + member + "\"");
    return value.value_or("");
}

std::optional<std::string> Request::optional_string(const char* member) {
    const auto found = body_.find(member);
    if (found == body_.end()) return std::nullopt;
    if (!found->is_string()) {
        refuse(std::string("member \"") + member + "\" must be a string");
        return "";
    }
    return found->get<std::string>();
}

bool Request::flag(const char* member) {
    const auto found = body_.find(member);
    if (found == body_.end()) return false;
    if (!found->is_boolean()) {
        refuse(std::string("member \"") + member + "\" must be true or false");
        return false;
    }
    return found->get<bool>();
}

std::uint64_t Request::number(const char* member, std::uint64_t max) {
    const auto found = body_.find(member);
    if (found == body_.end() || !found->is_number_unsigned() || found->get<std::uint64_t>() > max) {
        refuse("command " + cmd_ + " needs the member \"" + member + "\", a number from 0 to " + std::to_string(max));
        return 0;
    }
    return found->get<std::uint64_t>();
}

}  // namespace sdlm::tools
