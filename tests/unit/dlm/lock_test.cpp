// SPDX-License-Identifier: LGPL-2.1-or-later
// New requests and conversions on one node. Each case names the row of the semantics that it shows (§ and number; O:
// observed).
#include "fixture.hpp"

namespace sdlm::dlm::test {
namespace {

// Rows and columns NL CR CW PR PW EX.
constexpr bool together[6][6] = {{1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 0}, {1, 1, 1, 0, 0, 0},
                                 {1, 1, 0, 1, 0, 0}, {1, 1, 0, 0, 0, 0}, {1, 0, 0, 0, 0, 0}};
bool fit(Mode a, Mode b) { return together[static_cast<int>(a)][static_cast<int>(b)]; }

using DlmLock = OneNode;
INSTANTIATE_TEST_SUITE_P(, DlmLock, cachings);

TEST_P(DlmLock, s8_every_pair_of_modes) {
    for (const Mode a : all_modes) {
        for (const Mode b : all_modes) {
            SCOPED_TRACE(std::string(locks::text(a)) + " then " + locks::text(b));
            const LockId first = n.lock(a);
            const LockId second = n.lock(b);
            n.seen();
            EXPECT_EQ(n.status_of_row(second), fit(a, b) ? 2 : 1);
            const LockId third = n.lock(b, lkf::noqueue);
            const std::string name = std::to_string(third);
            const bool granted = fit(a, b) && fit(b, b);
            EXPECT_EQ(n.seen(), granted ? name + ":0" : name + ":EAGAIN!");
            if (granted) {
                EXPECT_EQ(n.unlock(third), 0);
            }
            n.seen();
            EXPECT_EQ(n.unlock(first), 0);
            if (!fit(a, b)) {
                EXPECT_EQ(n.seen(), std::to_string(first) + ":EUNLOCK! " + std::to_string(second) + ":0");
            }
            EXPECT_EQ(n.unlock(second), 0);
            EXPECT_FALSE(n.space.has_locks());
            n.seen();
        }
    }
}

// All 36 conversions, beside each mode that another lock may hold.
TEST_P(DlmLock, s8_every_conversion_beside_every_mode) {
    for (const Mode other : all_modes) {
        for (const Mode from : all_modes) {
            if (!fit(other, from)) continue;
            for (const Mode to : all_modes) {
                SCOPED_TRACE(std::string(locks::text(from)) + " to " + locks::text(to) + " beside " +
                             locks::text(other));
                const LockId beside = n.lock(other);
                const LockId id = n.lock(from);
                n.seen();
                EXPECT_EQ(n.convert(id, to, lkf::noqueue), 0);
                const std::string name = std::to_string(id);
                EXPECT_EQ(n.seen(), fit(other, to) ? name + ":0" : name + ":EAGAIN");
                if (!fit(other, to)) {
                    EXPECT_EQ(n.convert(id, to), 0);
                    EXPECT_EQ(n.status_of_row(id), 3);
                    n.seen();
                    EXPECT_EQ(n.unlock(beside), 0);
                    EXPECT_EQ(n.seen(), std::to_string(beside) + ":EUNLOCK! " + name + ":0");
                } else {
                    EXPECT_EQ(n.unlock(beside), 0);
                }
                EXPECT_EQ(n.unlock(id), 0);
                n.seen();
            }
        }
    }
}

TEST_P(DlmLock, s3_ids_are_small_and_used_again) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR, 0, "other");
    EXPECT_EQ(a, 1U);
    EXPECT_EQ(b, 2U);
    EXPECT_EQ(n.unlock(a), 0);
    EXPECT_EQ(n.lock(Mode::PR), 1U);
}

TEST_P(DlmLock, s3_3_a_refused_request_has_an_id_and_completes) {
    n.lock(Mode::EX);
    n.seen();
    const LockResult r = n.call(Node::request(Mode::EX, lkf::noqueue));
    EXPECT_EQ(r, (LockResult{0, 2, true}));
    EXPECT_EQ(n.seen(), "2:EAGAIN!");
    EXPECT_EQ(n.convert(2, Mode::NL), ENOENT);
    EXPECT_EQ(n.unlock(2), ENOENT);
}

TEST_P(DlmLock, s3_invalid_flags) {
    const LockId held = n.lock(Mode::NL);
    n.seen();
    struct Row {
        std::uint32_t flags;
        Mode mode;
        int error;
    };
    const Row rows[] = {
        {lkf::cancel, Mode::EX, EINVAL},
        {lkf::quecvt, Mode::EX, EINVAL},
        {lkf::convdeadlk, Mode::EX, EINVAL},
        {lkf::convert | lkf::convdeadlk | lkf::noqueue, Mode::EX, EINVAL},
        {lkf::convert | lkf::expedite, Mode::NL, EINVAL},
        {lkf::quecvt | lkf::expedite, Mode::NL, EINVAL},
        {lkf::noqueue | lkf::expedite, Mode::NL, EINVAL},
        {lkf::expedite, Mode::CR, EINVAL},
        {lkf::convert | lkf::cancel, Mode::EX, EINVAL},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.flags);
        LockCall c = Node::request(row.mode, row.flags);
        if ((row.flags & lkf::convert) != 0) c.id = held;
        EXPECT_EQ(n.call(c), (LockResult{row.error, no_lock, false}));
    }
    LockCall c = Node::request(Mode::EX);
    c.mode = 6;
    EXPECT_EQ(n.call(c).error, EINVAL);                      // O34 and its decision
    c.mode = 0x105;
    EXPECT_EQ(n.call(c).error, EINVAL);
    c = Node::request(Mode::EX, lkf::valblk);
    c.has_lvb = false;
    EXPECT_EQ(n.call(c).error, EINVAL);
    c = Node::request(Mode::EX);
    c.cookies.ast = 0;
    EXPECT_EQ(n.call(c).error, EINVAL);
    c = Node::request(Mode::EX);
    c.cookies.lksb = 0;
    EXPECT_EQ(n.call(c).error, EINVAL);
    EXPECT_EQ(n.call(Node::request(Mode::EX, 0, std::string(65, 'x'))).error, EINVAL);
    EXPECT_EQ(n.seen(), "");
    EXPECT_EQ(n.space.counts().locks, 1U);
    EXPECT_EQ(n.call(Node::request(Mode::EX, 0, std::string(64, 'x'))).error, 0);
    EXPECT_EQ(n.call(Node::request(Mode::EX, 0, "")).error, 0);
    EXPECT_EQ(n.call(Node::request(Mode::EX, 0x2000000 | lkf::wait, "u")).error, 0) << "unknown bits are ignored";
}

TEST_P(DlmLock, s1_names_are_binary_and_counted) {
    n.lock(Mode::EX, 0, "ping");
    const LockId other = n.lock(Mode::EX, 0, std::string_view("ping\0", 5));
    EXPECT_EQ(n.status_of_row(other), 2);
}

TEST_P(DlmLock, s3_convert_of_unknown_and_busy_locks) {
    EXPECT_EQ(n.convert(0, Mode::PR), ENOENT);               // O34
    EXPECT_EQ(n.convert(77, Mode::PR), ENOENT);
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR), w = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(w, Mode::PR), EBUSY) << "waiting";
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    EXPECT_EQ(n.convert(a, Mode::PR), EBUSY) << "converting";
    EXPECT_EQ(n.convert(b, Mode::NL), 0);
}

TEST_P(DlmLock, s3_quecvt_only_upward) {
    constexpr char upward[6][7] = {"-uuuuu", "--uuuu", "---uuu", "--u-uu", "-----u", "------"};
    for (const Mode from : all_modes) {
        for (const Mode to : all_modes) {
            const LockId id = n.lock(from);
            const bool allowed = upward[static_cast<int>(from)][static_cast<int>(to)] == 'u';
            EXPECT_EQ(n.convert(id, to, lkf::quecvt), allowed ? 0 : EINVAL) << locks::text(from) << locks::text(to);
            n.unlock(id);
        }
    }
}

TEST_P(DlmLock, s3_a_conversion_replaces_cookies_and_flags) {
    const LockId id = n.lock(Mode::EX, lkf::persistent);
    n.seen();
    LockCall c = Node::request(Mode::PR, lkf::convert);
    c.id = id;
    c.cookies = {.ast = 11, .arg = 0, .bast = 0, .lksb = 14};
    EXPECT_EQ(n.call(c).error, 0);
    n.seen();
    EXPECT_EQ(n.completion(id).cookies, c.cookies);
    n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "") << "no blocking callbacks any more (O30)";
    n.space.remove_owner(n.me);
    EXPECT_FALSE(n.space.has_locks()) << "PERSISTENT has to be given again";
}

TEST_P(DlmLock, s8_new_requests_do_not_pass_waiting_ones) {
    n.lock(Mode::PR);
    n.lock(Mode::EX);
    n.seen();
    n.lock(Mode::PR, lkf::noqueue);                          // O31
    EXPECT_EQ(n.seen(), "3:EAGAIN!");
    n.lock(Mode::NL, lkf::noqueue);
    EXPECT_EQ(n.seen(), "3:EAGAIN!");
    n.lock(Mode::NL);
    EXPECT_EQ(n.seen(), "");
    n.lock(Mode::NL, lkf::expedite);
    EXPECT_EQ(n.seen(), "4:0");
    n.lock(Mode::PR, lkf::noorder);
    EXPECT_EQ(n.seen(), "5:0") << "and no notice: a new grant makes nobody look";
}

TEST_P(DlmLock, s8_headque) {
    const LockId pr = n.lock(Mode::PR), ex = n.lock(Mode::EX);
    n.seen();
    const LockId head = n.lock(Mode::PR, lkf::headque);
    EXPECT_EQ(n.seen(), "") << "to the front, not past it (O31)";
    n.unlock(pr);
    EXPECT_EQ(n.seen(), "1:EUNLOCK! 3:0 3<EX");
    EXPECT_EQ(n.status_of_row(ex), 1);
    EXPECT_EQ(n.status_of_row(head), 2);
}

TEST_P(DlmLock, s8_conversions_ignore_the_waiting_queue) {
    const LockId a = n.lock(Mode::CR);
    n.lock(Mode::EX);
    n.seen();
    EXPECT_EQ(n.convert(a, Mode::PR), 0);
    EXPECT_EQ(n.seen(), "1:0 1<EX");
}

TEST_P(DlmLock, s8_conversions_in_place_overtake_queued_ones_unless_quecvt) {
    const LockId holder = n.lock(Mode::PR), a = n.lock(Mode::PR), b = n.lock(Mode::NL), c = n.lock(Mode::NL);
    n.seen();
    EXPECT_EQ(n.convert(a, Mode::EX, 0), 0);
    n.seen();
    EXPECT_EQ(n.convert(b, Mode::PR), 0);
    EXPECT_EQ(n.seen().substr(0, 3), "3:0");
    EXPECT_EQ(n.convert(c, Mode::PR, lkf::quecvt), 0);
    EXPECT_EQ(n.status_of_row(c), 3);
    EXPECT_EQ(n.unlock(holder), 0);
    EXPECT_EQ(n.unlock(b), 0);
    EXPECT_EQ(n.status_of_row(a), 2);
    EXPECT_EQ(n.status_of_row(c), 3) << "behind the EX now";
}

TEST_P(DlmLock, s8_conversion_deadlock) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR);
    n.seen();
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    EXPECT_EQ(n.seen(), "2<EX");
    EXPECT_EQ(n.convert(b, Mode::EX), 0);
    EXPECT_EQ(n.seen(), "2:EDEADLK");
    EXPECT_EQ(n.status_of_row(b), 2);
    EXPECT_EQ(n.convert(b, Mode::EX, lkf::noqueue), 0);
    EXPECT_EQ(n.seen(), "2:EAGAIN") << "not looked for with NOQUEUE";
    EXPECT_EQ(n.convert(b, Mode::NL), 0);
    EXPECT_EQ(n.seen(), "2:0 1:0");
}

TEST_P(DlmLock, s8_convdeadlk_and_nodlckwt) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR);
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    n.seen();
    EXPECT_EQ(n.convert(b, Mode::EX, lkf::convdeadlk), 0);
    EXPECT_EQ(n.seen(), "1:0 1<EX");
    EXPECT_EQ(n.unlock(a), 0);
    EXPECT_EQ(n.seen(), "1:EUNLOCK! 2:0+1");                 // O32: DEMOTED
    const LockId c = n.lock(Mode::PR, 0, "s"), d = n.lock(Mode::PR, 0, "s");
    EXPECT_EQ(n.convert(c, Mode::EX), 0);
    n.seen();
    EXPECT_EQ(n.convert(d, Mode::EX, lkf::nodlckwt), 0);
    EXPECT_EQ(n.status_of_row(c), 3);
    EXPECT_EQ(n.status_of_row(d), 3) << "both wait";
}

TEST_P(DlmLock, s8_altpr_altcw) {
    n.lock(Mode::PR);
    n.seen();
    n.lock(Mode::EX, lkf::altpr | lkf::noqueue);
    EXPECT_EQ(n.seen(), "2:0+4");
    EXPECT_EQ(n.completion(2).mode, Mode::PR);
    n.lock(Mode::EX, lkf::altcw | lkf::noqueue);
    EXPECT_EQ(n.seen(), "3:EAGAIN!");
    n.lock(Mode::EX, lkf::altcw, "s");
    EXPECT_EQ(n.seen(), "3:0") << "as asked where it can be";
    const LockId cr = n.lock(Mode::CR);
    n.seen();
    EXPECT_EQ(n.convert(cr, Mode::EX, lkf::altpr), 0);
    EXPECT_EQ(n.seen(), "4:0+4") << "conversions, too";
    n.lock(Mode::CW, 0, "t");
    n.lock(Mode::EX, lkf::altpr | lkf::altcw, "t");
    EXPECT_EQ(n.seen().substr(0, 3), "5:0") << "both flags: PR is tried";
    EXPECT_EQ(n.status_of_row(6), 1);
    n.unlock(5);
    EXPECT_EQ(n.seen(), "5:EUNLOCK! 6:0") << "looked at again with each scan";
}

TEST_P(DlmLock, s8_timeouts) {
    const LockId holder = n.lock(Mode::PR), c = n.lock(Mode::PR);
    LockCall call = Node::request(Mode::EX, lkf::timeout);
    call.timeout_cs = 1;
    const LockId w = n.call(call).id;
    call = Node::request(Mode::EX, lkf::timeout | lkf::convert);
    call.timeout_cs = 3;
    call.id = c;
    EXPECT_EQ(n.call(call).error, 0);
    n.seen();
    EXPECT_EQ(n.space.next_deadline(), n.now + milliseconds(10));
    n.space.expire(n.now + milliseconds(9));
    EXPECT_EQ(n.seen(), "");
    n.space.expire(n.now + milliseconds(10));
    n.settle();
    EXPECT_EQ(n.seen(), std::to_string(w) + ":ETIMEDOUT!");
    n.space.expire(n.now + milliseconds(30));
    n.settle();
    EXPECT_EQ(n.seen(), std::to_string(c) + ":ETIMEDOUT");
    EXPECT_EQ(n.status_of_row(c), 2);
    call = Node::request(Mode::EX);                          // no flag, no timeout
    call.timeout_cs = 1;
    const LockId patient = n.call(call).id;
    n.space.expire(n.now + milliseconds(100'000));
    EXPECT_EQ(n.seen(), "");
    EXPECT_EQ(n.status_of_row(patient), 1);
    n.unlock(holder);
}

TEST_P(DlmLock, ids_can_be_reserved) {
    std::vector<LockId> ids;
    EXPECT_EQ(n.space.reserve_ids(n.me, 3, ids), 3U);
    LockCall c = Node::request(Mode::EX);
    c.id = ids[1];
    EXPECT_EQ(n.call(c).id, ids[1]);
    EXPECT_EQ(n.call(c).error, EINVAL) << "used already";
    c.owner = n.space.add_owner(2000);
    c.id = ids[0];
    EXPECT_EQ(n.call(c).error, EINVAL) << "another owner's";
    EXPECT_EQ(n.unlock(ids[0]), ENOENT);
    EXPECT_EQ(n.space.counts().locks, 1U);
    n.space.remove_owner(n.me);
    EXPECT_EQ(n.space.counts().locks, 0U);
    ids.clear();
    EXPECT_EQ(n.space.reserve_ids(c.owner, reserved_ids_max + 5, ids), reserved_ids_max);
}

TEST_P(DlmLock, bounds_are_errors) {
    cluster.refuse_open = true;
    EXPECT_EQ(n.call(Node::request(Mode::EX)).error, ENOMEM);
    cluster.refuse_open = false;
    cluster.refuse_wants = true;
    n.call(Node::request(Mode::EX));
    EXPECT_EQ(n.seen(), GetParam() == FakeCluster::Caching::everything ? "1:0" : "1:ENOMEM!");
    cluster.refuse_wants = false;
    LockCall c = Node::request(Mode::EX);
    c.owner = 99;
    EXPECT_EQ(n.space.lock(c, n.now).error, ENOTCONN);
}

}  // namespace
}  // namespace sdlm::dlm::test
