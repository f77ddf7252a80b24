// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/surfaces.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "disk/base/ids.hpp"
#include "disk/io/reactor.hpp"
#include "tools/common/escape.hpp"
#include "tools/common/log.hpp"
#include "tools/sdlmd/surfaces_text.hpp"

namespace sdlm::tools {
namespace {

constexpr const char* debug_files[] = {"_locks", "_all", "_waiters", "_toss"};

bool plain(std::string_view text) {
    return !text.empty() && text.size() <= 36 && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

bool is_file_name(const std::string& name) { return name != "." && name != ".."; }

// The number by which libdlm's programs know a node; 0 means "none" or "this one" there.
std::string node_id(NodeIndex node) { return std::to_string(static_cast<unsigned>(node) + 1); }

void empty(const std::string& directory) {
    std::error_code error;
    for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
        std::error_code ignored;
        std::filesystem::remove_all(it->path(), ignored);
    }
}

}  // namespace

std::string surface_cluster_name(const disk::Superblock& superblock) {
    return plain(superblock.label) ? superblock.label : to_string(superblock.uuid);
}

Result<std::unique_ptr<Surfaces>> Surfaces::open(const std::string& run_dir, std::string cluster_name,
                                                 const ClientService& clients, Members members, std::string& message) {
    std::unique_ptr<Surfaces> made(new Surfaces(run_dir, std::move(cluster_name), clients, std::move(members)));
    for (const std::string& directory : {made->cluster_, made->spaces_, made->debug_}) {
        if (::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST) continue;
        const int error = errno;
        message = "cannot make " + directory + ": " + std::strerror(error);
        return Error{.code = Errc::io, .os_errno = error, .field = "run directory"};
    }
    // What lockspaces need to know of each other is root's business, as it is with debugfs.
    ::chmod(made->debug_.c_str(), 0700);
    made->end();                       // what an earlier daemon left
    empty(made->spaces_);
    empty(made->debug_);
    return made;
}

Surfaces::Surfaces(const std::string& run_dir, std::string cluster_name, const ClientService& clients, Members members)
    : part_(run_dir + "/surface.new"), cluster_(run_dir + "/" + wire::lockspace_directory + "/cluster"),
      spaces_(cluster_ + "/spaces"), debug_(run_dir + "/debug"), cluster_name_(std::move(cluster_name)),
      clients_(clients), members_(std::move(members)) {}

Surfaces::~Surfaces() { end(); }

void Surfaces::live() {
    live_ = write(cluster_ + "/cluster_name", cluster_name_ + "\n");
}

// The directories stay: they may be bound elsewhere, and the next daemon fills them again.
void Surfaces::end() {
    live_ = false;
    ::unlink((cluster_ + "/cluster_name").c_str());
    while (!shown_.empty()) hide(std::string(shown_.begin()->first));
}

Instant Surfaces::round_end(Instant now) {
    if (!live_) return never;
    if (now < next_) return clients_.lockspaces().empty() && shown_.empty() ? never : next_;
    update(now, Asked::no);
    return never;
}

void Surfaces::lockspaces_changed(Instant now) {
    if (live_) update(now, Asked::no);
}

void Surfaces::refresh(Instant now) {
    if (live_) update(now, Asked::yes);
}

void Surfaces::update(Instant now, Asked asked) {
    const Instant start = disk::boottime_now();
    std::vector<std::string> gone;
    for (const auto& [name, shown] : shown_)
        if (!clients_.lockspaces().contains(name)) gone.push_back(name);
    for (const std::string& name : gone) hide(name);
    for (const auto& [name, lockspace] : clients_.lockspaces()) {
        if (!is_file_name(name)) continue;
        Shown& shown = shown_[name];
        show_members(name, shown);
        show_locks(name, *lockspace, shown, now, asked);
    }
    const Instant end = disk::boottime_now();
    const Duration cost = (end - start) * surface_cost_factor;
    next_ = end + (cost < surface_pause ? surface_pause : cost);
}

void Surfaces::show_members(const std::string& name, Shown& shown) {
    std::vector<NodeIndex> members = members_(name);
    if (members == shown.members) return;
    const std::string nodes = spaces_ + "/" + name + "/nodes";
    std::error_code error;
    std::filesystem::create_directories(nodes, error);
    if (error) return trouble(nodes, error.value());
    for (const NodeIndex node : shown.members) {
        if (std::find(members.begin(), members.end(), node) == members.end())
            std::filesystem::remove_all(nodes + "/" + node_id(node), error);
    }
    for (const NodeIndex node : members) {
        if (std::find(shown.members.begin(), shown.members.end(), node) != shown.members.end()) continue;
        const std::string directory = nodes + "/" + node_id(node);
        if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return trouble(directory, errno);
        if (!write(directory + "/nodeid", node_id(node) + "\n")) return;
    }
    shown.members = std::move(members);
}

void Surfaces::show_locks(const std::string& name, const ClientLockspace& lockspace, Shown& shown, Instant now,
                          Asked asked) {
    if (asked == Asked::no && shown.debug && shown.changes == lockspace.changes()) return;
    const std::size_t locks = lockspace.locks().counts().locks;
    if (locks > surface_locks_max && asked == Asked::no && shown.debug && now < shown.keep_until) return;
    if (locks > (asked == Asked::yes ? surface_locks_asked_max : surface_locks_max)) {
        hide_debug(name);              // nothing rather than what was true long ago
        shown.debug = false;
        return;
    }
    const std::string path = debug_ + "/" + name;
    const auto waiters = lockspace.locks().waiter_rows(now);
    shown.debug = write(path + "_locks", locks_text(lockspace.locks().lock_rows(now))) &&
                  write(path + "_all", all_text(lockspace.locks().resource_rows(now), waiters, now)) &&
                  write(path + "_waiters", waiters_text(waiters)) &&
                  (shown.debug || write(path + "_toss", toss_text()));
    shown.changes = lockspace.changes();
    if (asked == Asked::yes) shown.keep_until = now + surface_kept;
}

void Surfaces::hide(const std::string& name) {
    shown_.erase(name);
    std::error_code error;
    std::filesystem::remove_all(spaces_ + "/" + name, error);
    hide_debug(name);
}

void Surfaces::hide_debug(const std::string& name) {
    for (const char* file : debug_files) ::unlink((debug_ + "/" + name + file).c_str());
}

bool Surfaces::write(const std::string& path, const std::string& content) {
    const UniqueFd fd(::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    bool good = static_cast<bool>(fd);
    for (std::size_t at = 0; good && at < content.size();) {
        const ssize_t written = ::write(fd.get(), content.data() + at, content.size() - at);
        good = written > 0;
        if (good) at += static_cast<std::size_t>(written);
    }
    good = good && std::rename(part_.c_str(), path.c_str()) == 0;
    if (good) return true;
    const int error = errno;
    ::unlink(part_.c_str());
    trouble(path, error);
    return false;
}

void Surfaces::trouble(const std::string& path, int error) {
    if (std::exchange(complained_, true)) return;
    log(LogLevel::warning, escaped(path) + ": " + std::strerror(error) +
                               "; programs that look there see nothing, or what was");
}

}  // namespace sdlm::tools
