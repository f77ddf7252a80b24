// SPDX-License-Identifier: LGPL-2.1-or-later
// The subcommands that talk to a node daemon. Each returns the program's exit code.
#pragma once
#include <iosfwd>
#include <string>

#include "disk/base/ids.hpp"
#include "tools/control/control_client.hpp"
#include "tools/sdlm/status_view.hpp"

namespace sdlm::tools {

enum class Form { text, json };
enum class Waiting { no, yes };

// `fence --wait`: the node did not stop itself; it was evicted when its lease was over.
inline constexpr int exit_evicted = 3;

class Commands {
public:
    // `run_dir` as given by the user, empty when it was not.
    Commands(std::string run_dir, Form form, std::ostream& out)
        : run_dir_(std::move(run_dir)), form_(form), out_(out) {}

    int status(Detail detail);
    int locks(const std::string& lockspace);      // empty: all; escaped form
    int timeline();
    int fence(NodeIndex node, Waiting waiting);
    int evict(NodeIndex node, bool host_is_off);
    int stop(bool force);
    int refs();
    int mount(const std::string& directory, bool allow_other);
    int umount(const std::string& directory);

private:
    int wait_for_end(ControlClient& client, NodeIndex node, const nlohmann::json& life);
    int simple(const std::string& cmd, const nlohmann::json& arguments, const std::string& done);

    std::string run_dir_;
    Form form_;
    std::ostream& out_;
};

}  // namespace sdlm::tools
