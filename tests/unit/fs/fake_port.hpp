// SPDX-License-Identifier: LGPL-2.1-or-later
// A lock port that keeps what it is told; the test says what the node answers. It checks the border's rules: no unknown
// handle, `used` never above what was granted, no LVB write below PW, handles closed before their lockspace is left.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "locks/core/lock_port.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::fs::test {

using locks::Demand;
using locks::Handle;
using locks::Lvb;
using locks::Mode;

struct NoEvents final : locks::LockEvents {
    void granted(Handle, Mode, const Lvb&) override {}
    void refused(Handle, locks::Refusal) override {}
    void blocked(Handle, Mode) override {}
    void lease_lost() override {}
};

class FakePort final : public locks::LockPort {
public:
    struct Lock {
        disk::ResourceKey key;
        Demand demand;
        Mode granted = Mode::NL;     // what the node counts as used
        Lvb lvb;
        std::size_t demand_count = 0;
    };

    Result<void> join(const std::string& lockspace, locks::LockEvents&) override {
        if (join_error) return Error{*join_error, 0, 0, "lockspace"};
        EXPECT_TRUE(joined.insert(lockspace).second) << lockspace << " joined twice";
        return {};
    }
    void leave(const std::string& lockspace) override {
        for (const auto& [handle, lock] : locks) EXPECT_NE(lock.key.lockspace, lockspace) << "left with an open handle";
        EXPECT_EQ(joined.erase(lockspace), 1U) << lockspace << " left without joining";
    }
    Result<Handle> open(const disk::ResourceKey& key) override {
        if (open_error) return Error{*open_error, 0, 0, "resource"};
        EXPECT_TRUE(joined.contains(key.lockspace));
        for (const auto& [handle, lock] : locks) EXPECT_NE(lock.key, key) << "two handles of one resource";
        locks[++last_handle].key = key;
        return last_handle;
    }
    void close(Handle handle) override { EXPECT_EQ(locks.erase(handle), 1U) << "unknown handle closed"; }

    void set_demand(Handle handle, const Demand& demand) override {
        ASSERT_TRUE(locks.contains(handle));
        Lock& lock = locks.at(handle);
        EXPECT_TRUE(locks::covers(lock.granted, demand.used)) << "used above what was granted";
        lock.granted = demand.used;
        lock.demand = demand;
        ++lock.demand_count;
    }
    const Lvb& lvb(Handle handle) const override { return locks.at(handle).lvb; }
    void write_lvb(Handle handle, std::span<const std::byte> value, bool valid) override {
        ASSERT_TRUE(locks.contains(handle));
        Lock& lock = locks.at(handle);
        EXPECT_TRUE(locks::writes_lvb(lock.granted)) << "LVB written below PW";
        lock.lvb.length = static_cast<std::uint8_t>(value.size());
        std::copy(value.begin(), value.end(), lock.lvb.bytes.begin());
        lock.lvb.valid = valid;
        ++lock.lvb.version;
    }
    Mode held(Handle handle) const override { return locks.at(handle).granted; }

    // The node grants the want that stands; the test passes the event on.
    Mode grant(Handle handle) {
        Lock& lock = locks.at(handle);
        EXPECT_TRUE(lock.demand.want.has_value()) << "nothing is wanted";
        const Mode mode = lock.demand.want ? lock.demand.want->mode : Mode::NL;
        lock.granted = locks::join(lock.granted, mode);
        lock.demand.used = lock.granted;
        lock.demand.want.reset();
        return mode;
    }
    Lock& only() {
        EXPECT_EQ(locks.size(), 1U);
        return locks.begin()->second;
    }

    std::map<Handle, Lock> locks;
    std::set<std::string> joined;
    std::optional<Errc> join_error, open_error;
    Handle last_handle = 100;
};

}  // namespace sdlm::fs::test
