// SPDX-License-Identifier: LGPL-2.1-or-later
// A daemon without a disk, for tests of the control socket and its tools.
#pragma once
#include <string>
#include <vector>

#include "tools/control/control_target.hpp"

namespace sdlm::tools::test {

class FakeTarget final : public ControlTarget {
public:
    DaemonStatus state;
    std::vector<node::LockRow> rows;       // in key order
    References refs;
    std::vector<std::string> calls;
    Problem next_problem;
    std::size_t row_pages = 0;

    DaemonStatus status() override { return state; }
    std::vector<node::LockRow> lock_rows(const std::optional<disk::ResourceKey>& after, std::size_t max) override {
        ++row_pages;
        std::vector<node::LockRow> out;
        for (const auto& row : rows) {
            if (out.size() < max && (!after || row.key > *after)) out.push_back(row);
        }
        return out;
    }
    Problem fence(NodeIndex node) override { return note("fence " + std::to_string(node)); }
    Problem stop(const StopRequest& request) override { return note(request.force ? "stop!" : "stop"); }
    Problem add_reference(const std::string& name) override {
        if (const auto added = refs.add(name); !added) return describe(added.error());
        return note("add " + name);
    }
    Problem remove_reference(const std::string& name) override {
        if (const auto removed = refs.remove(name); !removed) return describe(removed.error());
        return note("remove " + name);
    }
    const References& references() const override { return refs; }
    Problem mount(const MountRequest& request) override {
        return note("mount " + request.directory + (request.allow_other ? " allow_other" : ""));
    }
    Problem unmount(const std::string& directory) override { return note("umount " + directory); }

private:
    Problem note(std::string call) {
        calls.push_back(std::move(call));
        return std::exchange(next_problem, std::nullopt);
    }
};

inline node::LockRow lock_row(NodeIndex node, std::string lockspace, std::string name, disk::Mode held) {
    node::LockRow row;
    row.node = node;
    row.key = {std::move(lockspace), std::move(name)};
    row.record.held = held;
    return row;
}

}  // namespace sdlm::tools::test
