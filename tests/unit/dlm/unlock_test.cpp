// SPDX-License-Identifier: LGPL-2.1-or-later
// Unlock, cancel, death, orphans, purge, the end of the lease.
#include "fixture.hpp"

namespace sdlm::dlm::test {
namespace {

using DlmUnlock = OneNode;
INSTANTIATE_TEST_SUITE_P(, DlmUnlock, cachings);

TEST_P(DlmUnlock, s6_errors) {
    const LockId id = n.lock(Mode::EX);
    n.seen();
    EXPECT_EQ(n.unlock(0), EINVAL);
    EXPECT_EQ(n.unlock(9), ENOENT);
    for (std::uint32_t bit = 1; bit != 0; bit <<= 1) {
        if ((bit & lkf::unlock_all) != 0) continue;
        EXPECT_EQ(n.unlock(id, bit), EINVAL) << bit;
    }
    EXPECT_EQ(n.unlock(id, lkf::cancel | lkf::forceunlock), EINVAL);
    EXPECT_EQ(n.space.deadlock_cancel(n.me, 0, 0, n.now).error, EINVAL);
    EXPECT_EQ(n.space.deadlock_cancel(n.me, 9, 0, n.now).error, ENOENT);
    EXPECT_EQ(n.seen(), "");
    EXPECT_EQ(n.unlock(id, lkf::forceunlock), 0);
    EXPECT_EQ(n.seen(), "1:EUNLOCK!");
    EXPECT_EQ(n.unlock(id), ENOENT) << "dead from the moment the completion is made";
}

TEST_P(DlmUnlock, s6_any_state_goes_through) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR), w = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    n.seen();
    EXPECT_EQ(n.unlock(w), 0);                               // O25
    EXPECT_EQ(n.seen(), "3:EUNLOCK!");
    EXPECT_EQ(n.unlock(a), 0);
    EXPECT_EQ(n.seen(), "1:EUNLOCK!");
    EXPECT_EQ(n.status_of_row(b), 2);
}

TEST_P(DlmUnlock, s6_cancel) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR), w = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(a, Mode::PW), 0);
    n.seen();
    EXPECT_EQ(n.unlock(a, lkf::cancel), 0);
    EXPECT_EQ(n.seen(), "1:ECANCEL");
    EXPECT_EQ(n.completion(a).mode, Mode::PR);
    EXPECT_EQ(n.status_of_row(a), 2);
    EXPECT_EQ(n.unlock(w, lkf::cancel), 0);
    EXPECT_EQ(n.seen(), "3:ECANCEL!");
    EXPECT_EQ(n.unlock(w, lkf::cancel), ENOENT);
    EXPECT_EQ(n.unlock(b, lkf::cancel), 0) << "idle";
    EXPECT_FALSE(n.completes);
    EXPECT_EQ(n.seen(), "");
}

TEST_P(DlmUnlock, s6_a_cancel_lets_others_on) {
    const LockId a = n.lock(Mode::PR), w = n.lock(Mode::EX), p = n.lock(Mode::PR);
    n.seen();
    n.unlock(w, lkf::cancel);
    EXPECT_EQ(n.seen(), "2:ECANCEL! 3:0");
    (void)a, (void)p;
}

TEST_P(DlmUnlock, s6_deadlock_cancel) {
    n.lock(Mode::PR);
    const LockId w = n.lock(Mode::EX);
    n.seen();
    EXPECT_EQ(n.space.deadlock_cancel(n.me, w, 0, n.now), (UnlockResult{0, true}));
    EXPECT_EQ(n.seen(), "2:EDEADLK!");
    EXPECT_EQ(n.space.deadlock_cancel(n.me, 1, 0, n.now), (UnlockResult{0, false}));
}

TEST_P(DlmUnlock, s6_arguments_of_unlock_and_cancel_replace_those_of_the_lock) {
    const LockId a = n.lock(Mode::EX);
    n.seen();
    UnlockCall c{.owner = n.me, .id = a, .flags = 0, .cookies = {.ast = 0, .arg = 7, .bast = 0, .lksb = 8}, .lvb = {}};
    n.space.unlock(c, n.now);
    n.seen();
    EXPECT_EQ(n.completion(a).cookies, (Cookies{1, 7, 3, 8}));
    const LockId b = n.lock(Mode::EX);
    n.seen();
    c.id = b;
    c.cookies = {};
    n.space.unlock(c, n.now);
    n.seen();
    EXPECT_EQ(n.completion(b).cookies, (Cookies{1, 2, 3, 4})) << "0 keeps";
}

TEST_P(DlmUnlock, s6_o35_handles_of_one_process_share_locks_others_do_not_see_them) {
    const OwnerId second = n.space.add_owner(1000), foreign = n.space.add_owner(1001);
    const LockId a = n.lock(Mode::EX);
    n.seen();
    EXPECT_EQ(n.space.unlock({.owner = foreign, .id = a, .cookies = {}, .lvb = {}}, n.now).error, ENOENT);
    LockCall c = Node::request(Mode::PR, lkf::convert);
    c.owner = foreign;
    c.id = a;
    EXPECT_EQ(n.call(c).error, ENOENT);
    EXPECT_EQ(n.space.unlock({.owner = second, .id = a, .cookies = {}, .lvb = {}}, n.now).error, 0);
    n.seen();
    EXPECT_EQ(n.completion(a).owner, n.me) << "the completion comes where the lock was made";
}

TEST_P(DlmUnlock, s7_1_death_frees_and_marks_the_value) {
    const OwnerId other = n.space.add_owner(1001);
    LockCall c = Node::request(Mode::NL, lkf::valblk);
    c.owner = other;
    const LockId keeper = n.call(c).id;
    for (const Mode mode : all_modes) {
        SCOPED_TRACE(locks::text(mode));
        const OwnerId dying = n.space.add_owner(1002);
        c = Node::request(mode);
        c.owner = dying;
        n.call(c);
        c = Node::request(Mode::EX);                          // its waiting request vanishes
        c.owner = dying;
        if (mode != Mode::NL) n.call(c);
        n.seen();
        n.space.remove_owner(dying);
        n.settle();
        EXPECT_EQ(n.seen(), "");
        EXPECT_EQ(n.space.counts().locks, 1U);
        n.me = other;
        EXPECT_EQ(n.convert(keeper, Mode::EX, lkf::valblk), 0);
        const bool writer = mode == Mode::PW || mode == Mode::EX;
        EXPECT_EQ(n.seen(), writer ? "1:0+2" : "1:0") << "even if it never used the value";
        EXPECT_EQ(n.convert(keeper, Mode::NL, lkf::valblk, lvb_of('v')), 0);
        n.seen();
    }
}

TEST_P(DlmUnlock, s7_2_persistent_locks_become_orphans_and_s7_4_are_adopted) {
    const OwnerId other = n.space.add_owner(1001);
    const LockId kept = n.lock(Mode::PR, lkf::persistent);
    n.lock(Mode::EX, lkf::persistent);                        // a waiting one vanishes
    LockCall c = Node::request(Mode::PR, lkf::noorder);
    c.owner = other;
    const LockId beside = n.call(c).id;
    EXPECT_EQ(n.convert(kept, Mode::EX, lkf::persistent), 0);  // ... and a conversion goes back
    n.seen();
    n.space.remove_owner(n.me);
    n.settle();
    EXPECT_EQ(n.seen(), "");
    EXPECT_EQ(n.space.counts().orphans, 1U);
    EXPECT_EQ(n.space.counts().locks, 2U);
    n.me = other;
    EXPECT_EQ(n.unlock(beside), 0);
    n.seen();
    n.lock(Mode::EX, lkf::noqueue);
    EXPECT_EQ(n.seen(), "3:EAGAIN!") << "orphans block, and get no callbacks";
    EXPECT_EQ(n.unlock(kept), ENOENT);
    c = Node::request(Mode::EX, lkf::orphan);
    EXPECT_EQ(n.call(c).error, EAGAIN) << "only in another mode";
    c = Node::request(Mode::PR, lkf::orphan, "none");
    EXPECT_EQ(n.call(c).error, ENOENT);
    c = Node::request(Mode::PR, lkf::orphan);
    c.cookies.ast = 0;
    EXPECT_EQ(n.call(c).error, EINVAL);
    c.cookies = {5, 6, 7, 8};
    EXPECT_EQ(n.call(c), (LockResult{0, kept, false})) << "old id, no completion";
    EXPECT_EQ(n.call(c).error, ENOENT) << "adopted";
    EXPECT_EQ(n.seen(), "");
    n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "1<EX");
    EXPECT_EQ(n.unlock(kept), 0);
    n.seen();
    EXPECT_EQ(n.completion(kept).cookies, c.cookies);
}

TEST_P(DlmUnlock, s6_purge) {
    const auto orphan = [this](std::uint32_t tid, std::string_view name) {
        const OwnerId o = n.space.add_owner(7);
        LockCall c = Node::request(Mode::PR, lkf::persistent, name);
        c.owner = o;
        c.tid = tid;
        n.call(c);
        n.space.remove_owner(o);
    };
    orphan(50, "a");
    orphan(51, "b");
    orphan(52, "c");
    n.lock(Mode::PR, lkf::persistent, "mine");
    n.seen();
    EXPECT_EQ(n.space.purge({.owner = n.me, .tid = 1000, .node = 9, .pid = 0}), ENOBUFS);   // O36
    EXPECT_EQ(n.space.counts().orphans, 3U);
    EXPECT_EQ(n.space.purge({.owner = n.me, .tid = 1000, .node = 1, .pid = 51}), 0);
    EXPECT_EQ(n.space.counts().orphans, 2U);
    EXPECT_EQ(n.space.purge({.owner = n.me, .tid = 1000, .node = 0, .pid = 0}), 0);
    EXPECT_EQ(n.space.counts().orphans, 0U);
    EXPECT_EQ(n.space.counts().locks, 1U) << "a live program's PERSISTENT lock stays";
    n.lock(Mode::EX);
    n.seen();
    EXPECT_EQ(n.space.purge({.owner = n.me, .tid = 1000, .node = 1, .pid = 1000}), 0);
    n.settle();
    EXPECT_EQ(n.space.counts().locks, 0U);
    EXPECT_EQ(n.seen(), "") << "without callbacks";
}

TEST_P(DlmUnlock, lease_lost_ends_everything) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR), w = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    n.seen();
    n.space.lease_lost();
    EXPECT_EQ(n.seen(), "1:EIO 3:EIO!");
    EXPECT_TRUE(n.space.lost());
    EXPECT_EQ(n.call(Node::request(Mode::NL)).error, ENOTCONN);
    EXPECT_EQ(n.unlock(b), ENOTCONN);
    EXPECT_EQ(n.space.purge({.owner = n.me, .tid = 1, .node = 0, .pid = 0}), ENOTCONN);
    EXPECT_EQ(n.space.next_deadline(), never);
    n.space.remove_owner(n.me);
    EXPECT_EQ(n.space.counts().locks, 0U);
    (void)w;
}

TEST_P(DlmUnlock, leave_closes_all_handles) {
    n.lock(Mode::PR);
    n.lock(Mode::PR, 0, "s");
    n.unlock(2);
    n.space.leave();
    EXPECT_EQ(cluster.open_count(0), 0U);
}

TEST_P(DlmUnlock, idle_resources_are_kept_within_a_bound) {
    for (std::size_t i = 0; i < idle_resources_max + 10; ++i)
        ASSERT_EQ(n.space
                      .unlock({.owner = n.me,
                               .id = n.space
                                         .lock(
                                             [&] {
                                                 LockCall c = Node::request(Mode::NL);
                                                 c.owner = n.me;
                                                 static std::string name;
                                                 name = std::to_string(i);
                                                 c.name = name;
                                                 return c;
                                             }(),
                                             n.now)
                                         .id,
                               .cookies = {},
                               .lvb = {}},
                              n.now)
                      .error,
                  0);
    EXPECT_EQ(n.space.counts().idle_resources, idle_resources_max);
    EXPECT_EQ(cluster.open_count(0), idle_resources_max);
}

TEST_P(DlmUnlock, rows) {
    const LockId a = n.lock(Mode::PR, lkf::valblk), w = n.lock(Mode::EX);
    const auto rows = n.space.lock_rows(n.now + milliseconds(2));
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].id, a);
    EXPECT_EQ(rows[0].status, 2);
    EXPECT_EQ(rows[0].granted, 3);
    EXPECT_EQ(rows[0].wanted, -1);
    EXPECT_EQ(rows[0].flags, lkf::valblk);
    EXPECT_EQ(rows[0].time_us, 2000U);
    EXPECT_EQ(rows[0].name, "r");
    EXPECT_EQ(rows[1].id, w);
    EXPECT_EQ(rows[1].status, 1);
    EXPECT_EQ(rows[1].granted, -1);
    EXPECT_EQ(rows[1].wanted, 5);
    const auto resources = n.space.resource_rows(n.now);
    ASSERT_EQ(resources.size(), 1U);
    EXPECT_EQ(resources[0].granted.size(), 1U);
    EXPECT_EQ(resources[0].waiting.size(), 1U);
    EXPECT_EQ(resources[0].lvb_version, 0U);
    EXPECT_TRUE(locks::covers(resources[0].held, Mode::PR));
}

}  // namespace
}  // namespace sdlm::dlm::test
