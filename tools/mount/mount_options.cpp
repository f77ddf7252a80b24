// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/mount/mount_options.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "disk/base/limits.hpp"
#include "tools/common/client_policy.hpp"

namespace sdlm::tools {
namespace {

constexpr std::array<std::string_view, 36> generic_options{
    "defaults", "rw",      "auto",   "noauto",   "user",   "nouser",   "users",      "owner",       "group",
    "nofail",   "_netdev", "async",  "sync",     "atime",  "noatime",  "diratime",   "nodiratime",  "relatime",
    "suid",     "nosuid",  "dev",    "nodev",    "exec",   "noexec",   "norelatime", "strictatime", "lazytime",
    "silent",   "loud",    "nolazytime", "nostrictatime", "dirsync", "mand", "nomand", "iversion", "noiversion"};

bool is_generic(std::string_view name) {
    return name.starts_with("x-") || name.starts_with("X-") || name.starts_with("comment=") ||
           std::find(generic_options.begin(), generic_options.end(), name) != generic_options.end();
}

Error refuse(std::string why, std::string& message) {
    message = std::move(why);
    return {.code = Errc::bad_argument, .field = "-o"};
}

Result<void> parse_one(std::string_view option, Unknown unknown, MountOptions& out, std::string& message) {
    const auto equals = option.find('=');
    const std::string_view name = option.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view{} : option.substr(equals + 1);
    if (name == "node" || name == "name" || name == "run_dir" || name == "client_policy") {
        if (value.empty()) return refuse("option " + std::string(name) + " needs a value", message);
    }
    if (name == "node") {
        NodeIndex node = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), node);
        if (error != std::errc{} || end != value.data() + value.size() || node >= limits::slots_max) {
            return refuse("option node=" + std::string(value) + ": not a number from 0 to " +
                              std::to_string(limits::slots_max - 1),
                          message);
        }
        out.node = node;
    } else if (name == "name") {
        out.name = value;
    } else if (name == "run_dir") {
        if (value.front() != '/') return refuse("option run_dir=" + std::string(value) + ": not absolute", message);
        out.run_dir = value;
    } else if (name == "client_policy") {
        if (ClientPolicy policy{}; !parse(value, policy))
            return refuse("option client_policy=" + std::string(value) + ": give notify, kill or reset", message);
        out.client_policy = value;
    } else if (option == "allow_other") {
        out.allow_other = true;
    } else if (option == "ro") {
        return refuse("option ro: a lock file is used by writing to it, so a dlmfs cannot be read-only", message);
    } else if (!is_generic(option) && unknown == Unknown::refuse) {
        return refuse("unknown option " + std::string(option) +
                          "; a dlmfs has node=N, name=NAME, run_dir=DIR, client_policy=POLICY and allow_other",
                      message);
    }
    return {};
}

}  // namespace

Result<void> parse_mount_options(std::string_view text, Unknown unknown, MountOptions& out, std::string& message) {
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        const std::string_view option = text.substr(0, comma);
        if (!option.empty()) {
            const auto parsed = parse_one(option, unknown, out, message);
            if (!parsed) return parsed.error();
        }
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return {};
}

}  // namespace sdlm::tools
