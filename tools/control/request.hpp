// SPDX-License-Identifier: LGPL-2.1-or-later
// One request line, checked: every member is known, of its type and in its range, or the request is refused with a
// sentence that names the member.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace sdlm::tools {

class Request {
public:
    // Not a request of this protocol version: `fatal()` is true and the connection is of no further use.
    explicit Request(std::string_view line);

    const std::string& cmd() const { return cmd_; }
    bool fatal() const { return fatal_; }
    // Empty when nothing was wrong so far.
    const std::string& error() const { return error_; }

    void allow(std::initializer_list<std::string_view> members);
    std::string string(const char* member);              // must be there
    std::optional<std::string> optional_string(const char* member);
    bool flag(const char* member);                       // false when absent
    std::uint64_t number(const char* member, std::uint64_t max);
    void refuse(std::string why);                        // the first reason stays

private:
    void parse(std::string_view line);

    nlohmann::json body_;
    std::string cmd_;
    std::string error_;
    bool fatal_ = false;
};

}  // namespace sdlm::tools
