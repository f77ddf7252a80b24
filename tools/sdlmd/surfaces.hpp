// SPDX-License-Identifier: LGPL-2.1-or-later
// What other programs read of a DLM besides libdlm, as files in the run directory that can be bound over the kernel's
// paths (sdlm with-dlm):
//   dlm/cluster/cluster_name, dlm/cluster/spaces/LS/nodes/N/nodeid     /sys/kernel/config/dlm
//   debug/LS_locks, debug/LS_all, debug/LS_waiters, debug/LS_toss      /sys/kernel/debug/dlm
//
// Plain files, rewritten after changes and replaced by rename, rather than a FUSE file system that renders at each open:
// a daemon that is killed leaves no dead mount behind in every namespace that has it, no reader can hang in it, and it
// works without /dev/fuse. The price is age: at most surface_pause, or surface_cost_factor times what writing takes,
// whichever is more. refresh() writes at once, for a reader that asks before it looks.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "disk/format/superblock.hpp"
#include "tools/sdlmd/client_service.hpp"

namespace sdlm::tools {

inline constexpr Duration surface_pause = milliseconds(20);
inline constexpr std::int64_t surface_cost_factor = 100;           // writing takes at most 1 % of the time
inline constexpr std::size_t surface_locks_max = 10'000;           // of one lockspace, written unasked
inline constexpr Duration surface_kept = milliseconds(10'000);     // after refresh(), if there are more locks than that
inline constexpr std::size_t surface_locks_asked_max = 100'000;    // by refresh(); beyond, there are no debug files

class Surfaces {
public:
    using Members = std::function<std::vector<NodeIndex>(const std::string& lockspace)>;

    // `clients` outlives it. The run directory is the caller's alone; ClientService has made dlm/ in it.
    static Result<std::unique_ptr<Surfaces>> open(const std::string& run_dir, std::string cluster_name,
                                                  const ClientService& clients, Members members, std::string& message);
    ~Surfaces();
    Surfaces(const Surfaces&) = delete;
    Surfaces& operator=(const Surfaces&) = delete;

    void live();                       // from now on there is a cluster
    void end();                        // there is none any more
    // After each pump. When to be called again at the latest.
    Instant round_end(Instant now);
    // A lockspace has been made or removed, and its maker has not been told yet.
    void lockspaces_changed(Instant now);
    void refresh(Instant now);

private:
    enum class Asked : std::uint8_t { no, yes };
    struct Shown {
        std::vector<NodeIndex> members;
        std::uint64_t changes = 0;
        bool debug = false;            // the debug files are there
        Instant keep_until{};          // files that were asked for
    };

    Surfaces(const std::string& run_dir, std::string cluster_name, const ClientService& clients, Members members);
    void update(Instant now, Asked asked);
    void show_members(const std::string& name, Shown& shown);
    void show_locks(const std::string& name, const ClientLockspace& lockspace, Shown& shown, Instant now, Asked asked);
    void hide(const std::string& name);
    void hide_debug(const std::string& name);
    bool write(const std::string& path, const std::string& content);
    void trouble(const std::string& path, int error);

    const std::string part_, cluster_, spaces_, debug_;            // paths
    const std::string cluster_name_;
    const ClientService& clients_;
    const Members members_;
    std::map<std::string, Shown> shown_;
    Instant next_{};                   // no update before
    bool live_ = false;
    bool complained_ = false;
};

// What programs use as the name of the cluster: the volume's label where it is a plain word, else its uuid.
std::string surface_cluster_name(const disk::Superblock& superblock);

}  // namespace sdlm::tools
