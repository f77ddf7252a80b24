// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm_hb_ctl's four actions on the heartbeat of one volume. Each returns the program's exit code.
#pragma once
#include <optional>
#include <string>

#include "disk/base/ids.hpp"

namespace sdlm::tools {

struct HeartbeatRequest {
    std::string device;                  // this or `uuid`
    std::optional<Uuid> uuid;
    std::string service;                 // start, stop: name of the reference
    std::string run_dir;                 // empty: /run/sdlm/<uuid>
    std::string name;                    // of the node; empty: the daemon's default
    std::optional<NodeIndex> node;
    int priority = 0;                    // 0 (first) .. 7 of the real-time I/O class
};

int start_heartbeat(const HeartbeatRequest& request);
int stop_heartbeat(const HeartbeatRequest& request);
int show_references(const HeartbeatRequest& request);
int set_io_priority(const HeartbeatRequest& request);

}  // namespace sdlm::tools
