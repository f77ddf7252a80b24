// SPDX-License-Identifier: LGPL-2.1-or-later
// Lockspaces over real NodeCores and a disk of bytes: the port as it is, not as the fake of the other tests has it.
#include <memory>

#include "../locks/memory_cluster.hpp"
#include "fixture.hpp"

namespace sdlm::dlm::test {
namespace {

class OverDisk : public ::testing::Test {
protected:
    struct Side {
        std::unique_ptr<Lockspace> space;
        OwnerId me = no_owner;
        std::vector<Callback> seen;
    };
    OverDisk() {
        for (NodeIndex n = 0; n < 2; ++n) {
            node::NodeCore& core = cluster.start(n);
            EXPECT_TRUE(cluster.run_until([&] { return cluster.live(n); }));
            sides[n].space = std::make_unique<Lockspace>(core, "dl", n + 1U);
            EXPECT_TRUE(sides[n].space->join().has_value());
            sides[n].me = sides[n].space->add_owner(1);
        }
    }
    LockId lock(Side& side, Mode mode, std::uint32_t flags = 0, LockId id = no_lock, char value = 0) {
        LockCall c = Node::request(mode, flags);
        c.owner = side.me;
        c.id = id;
        c.has_lvb = true;
        c.lvb = lvb_of(value);
        const LockResult result = side.space->lock(c, cluster.now());
        EXPECT_EQ(result.error, 0);
        return result.id;
    }
    LockId convert(Side& side, LockId id, Mode mode, std::uint32_t flags = 0, char value = 0) {
        return lock(side, mode, flags | lkf::convert, id, value);
    }
    void unlock(Side& side, LockId id) {
        EXPECT_EQ(side.space->unlock({.owner = side.me, .id = id, .cookies = {}, .lvb = {}}, cluster.now()).error, 0);
    }
    // The next callback of the side, whenever it comes.
    Callback next(Side& side) {
        const bool come = cluster.run_until([&] {
            for (const Callback& c : side.space->callbacks()) side.seen.push_back(c);
            side.space->callbacks().clear();
            return !side.seen.empty();
        });
        EXPECT_TRUE(come) << "nothing comes";
        if (!come) return {};
        const Callback first = side.seen.front();
        side.seen.erase(side.seen.begin());
        return first;
    }
    node::MemoryCluster cluster;
    Side sides[2];
    Side& a = sides[0];
    Side& b = sides[1];
};

TEST_F(OverDisk, values_travel_and_holders_are_told) {
    const LockId x = lock(a, Mode::EX, lkf::valblk), y = lock(b, Mode::NL, lkf::valblk);
    EXPECT_EQ(next(a).lvb, zero_lvb);
    next(b);
    lock(b, Mode::EX, lkf::noqueue);
    EXPECT_EQ(next(b).status, EAGAIN);
    const LockId w = lock(b, Mode::PR, lkf::valblk);
    const Callback told = next(a);
    EXPECT_EQ(told.kind, Callback::Kind::blocking);
    EXPECT_EQ(told.mode, Mode::PR);
    convert(a, x, Mode::NL, lkf::valblk, 'v');
    EXPECT_EQ(next(a).status, 0);
    const Callback granted = next(b);
    EXPECT_EQ(granted.id, w);
    EXPECT_EQ(granted.lvb, lvb_of('v'));
    unlock(a, x);
    unlock(b, w);
    EXPECT_EQ(next(b).status, status_unlock);
    convert(b, y, Mode::EX, lkf::valblk);
    EXPECT_EQ(next(b).lvb, lvb_of('v')) << "while some node has a lock";
}

TEST_F(OverDisk, noqueue_gets_what_is_only_cached) {
    const LockId x = lock(a, Mode::EX);
    EXPECT_EQ(next(a).status, 0);
    unlock(a, x);
    EXPECT_EQ(next(a).status, status_unlock);
    lock(b, Mode::EX, lkf::noqueue);
    EXPECT_EQ(next(b).status, 0);
}

// 10.5: at once, and when the node has had the time to let go of the value.
TEST_F(OverDisk, the_value_goes_with_the_last_lock) {
    for (const Duration pause : {milliseconds(0), milliseconds(1), milliseconds(3), milliseconds(3000)}) {
        SCOPED_TRACE(pause.ns);
        const LockId x = lock(a, Mode::EX);
        next(a);
        convert(a, x, Mode::NL, lkf::valblk, 'v');
        next(a);
        unlock(a, x);
        next(a);
        if (pause.ns != 0) cluster.run(pause);
        const LockId y = lock(a, Mode::PR, lkf::valblk);
        const Callback granted = next(a);
        EXPECT_TRUE(granted.has_lvb);
        EXPECT_EQ(granted.lvb, zero_lvb);
        EXPECT_EQ(granted.sb_flags, 0);
        unlock(a, y);
        next(a);
    }
}

TEST_F(OverDisk, conversion_deadlock) {
    const LockId x = lock(a, Mode::PR), y = lock(b, Mode::PR);
    next(a);
    next(b);
    convert(a, x, Mode::EX);
    EXPECT_EQ(next(b).kind, Callback::Kind::blocking);
    convert(b, y, Mode::EX);
    EXPECT_EQ(next(b).status, EDEADLK);
    convert(b, y, Mode::EX, lkf::nodlckwt);
    unlock(b, y);
    EXPECT_EQ(next(b).status, status_unlock);
    while (true) {
        const Callback c = next(a);
        if (c.kind == Callback::Kind::blocking) continue;
        EXPECT_EQ(c.status, 0);
        break;
    }
}

TEST_F(OverDisk, a_cached_mode_costs_no_disk) {
    const LockId x = lock(a, Mode::EX);
    EXPECT_EQ(next(a).status, 0);
    unlock(a, x);
    EXPECT_EQ(next(a).status, status_unlock);
    lock(a, Mode::EX);
    ASSERT_EQ(a.space->callbacks().size(), 1U) << "granted within the call";
}

}  // namespace
}  // namespace sdlm::dlm::test
