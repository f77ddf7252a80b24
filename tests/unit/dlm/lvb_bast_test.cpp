// SPDX-License-Identifier: LGPL-2.1-or-later
// Values (§10), blocking notices (§9), delivery (§4).
#include "fixture.hpp"
#include "locks/dlm/delivery_queue.hpp"

namespace sdlm::dlm::test {
namespace {

using DlmLvb = OneNode;
INSTANTIATE_TEST_SUITE_P(, DlmLvb, cachings);

// The whole table of 10.1: read, write, nothing.
TEST_P(DlmLvb, s10_1_moves_of_every_conversion) {
    constexpr char moves[6][7] = {"rrrrrr", "-rrrrr", "--rrrr", "---rrr", "wwwwwr", "wwwwww"};
    const LockId keeper = n.lock(Mode::NL);
    for (const Mode from : all_modes) {
        for (const Mode to : all_modes) {
            SCOPED_TRACE(std::string(locks::text(from)) + " to " + locks::text(to));
            EXPECT_EQ(n.convert(keeper, Mode::EX), 0);
            EXPECT_EQ(n.convert(keeper, Mode::NL, lkf::valblk, lvb_of('o')), 0);
            const LockId id = n.lock(from);
            EXPECT_EQ(n.convert(id, to, lkf::valblk, lvb_of('n')), 0);
            n.seen();
            const char move = moves[static_cast<int>(from)][static_cast<int>(to)];
            EXPECT_EQ(n.completion(id).has_lvb, move == 'r');
            if (move == 'r') {
                EXPECT_EQ(n.completion(id).lvb, lvb_of('o'));
            }
            EXPECT_EQ(n.convert(id, Mode::NL, 0, lvb_of('x')), 0);       // without VALBLK nothing moves
            EXPECT_EQ(n.convert(id, Mode::EX, lkf::valblk, lvb_of('x')), 0);
            n.seen();
            EXPECT_EQ(n.completion(id).lvb, lvb_of(move == 'w' ? 'n' : 'o'));
            EXPECT_EQ(n.unlock(id), 0);
        }
    }
}

TEST_P(DlmLvb, s10_1_new_requests_read_in_every_mode) {
    const LockId keeper = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(keeper, Mode::NL, lkf::valblk, lvb_of('v')), 0);
    for (const Mode mode : all_modes) {
        LockCall c = Node::request(mode, lkf::valblk);
        c.lvb = lvb_of('x');
        const LockId id = n.call(c).id;
        n.seen();
        EXPECT_TRUE(n.completion(id).has_lvb);
        EXPECT_EQ(n.completion(id).lvb, lvb_of('v')) << "the caller's buffer is not sent (10.2)";
        EXPECT_EQ(n.unlock(id), 0);
    }
    const LockId plain = n.lock(Mode::PR);
    n.seen();
    EXPECT_FALSE(n.completion(plain).has_lvb);
}

TEST_P(DlmLvb, s10_2_o28_a_new_resource_reads_zeros_and_valid) {
    const LockId id = n.lock(Mode::EX, lkf::valblk);
    EXPECT_EQ(n.seen(), "1:0");
    EXPECT_TRUE(n.completion(id).has_lvb);
    EXPECT_EQ(n.completion(id).lvb, zero_lvb);
}

TEST_P(DlmLvb, s10_1_o26_unlock_writes_from_pw_and_ex_with_valblk) {
    const LockId keeper = n.lock(Mode::NL);
    char c = 'a';
    for (const Mode mode : all_modes) {
        const LvbBytes bytes = lvb_of(++c);
        const bool writer = mode == Mode::PW || mode == Mode::EX;
        const LockId id = n.lock(mode);
        EXPECT_EQ(n.unlock(id, lkf::valblk, &bytes), 0);
        EXPECT_EQ(n.convert(keeper, Mode::NL, lkf::valblk), 0);
        n.seen();
        EXPECT_EQ(n.completion(keeper).lvb == bytes, writer) << locks::text(mode);
    }
    const LockId id = n.lock(Mode::EX);
    const LvbBytes bytes = lvb_of('x');
    EXPECT_EQ(n.unlock(id, 0, &bytes), 0);
    EXPECT_EQ(n.convert(keeper, Mode::NL, lkf::valblk), 0);
    n.seen();
    EXPECT_NE(n.completion(keeper).lvb, bytes) << "without VALBLK it stays";
}

TEST_P(DlmLvb, s10_4_ivvalblk) {
    const LockId keeper = n.lock(Mode::NL), a = n.lock(Mode::EX);
    EXPECT_EQ(n.convert(a, Mode::EX, lkf::valblk, lvb_of('v')), 0);
    n.seen();
    EXPECT_EQ(n.convert(a, Mode::PR, lkf::valblk | lkf::ivvalblk, lvb_of('x')), 0);
    EXPECT_EQ(n.seen(), "2:0");
    EXPECT_EQ(n.convert(keeper, Mode::PR, lkf::valblk), 0);
    EXPECT_EQ(n.seen(), "1:0+2");
    EXPECT_EQ(n.completion(keeper).lvb, lvb_of('v')) << "the old bytes";
    EXPECT_EQ(n.convert(keeper, Mode::NL), 0);
    EXPECT_EQ(n.seen(), "1:0+2") << "on every grant, down too";
    n.lock(Mode::CR);
    EXPECT_EQ(n.seen(), "3:0+2");
    EXPECT_EQ(n.unlock(3), 0);
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    EXPECT_EQ(n.convert(a, Mode::NL, lkf::valblk, lvb_of('w')), 0);
    EXPECT_EQ(n.convert(keeper, Mode::PR, lkf::valblk), 0);
    n.seen();
    EXPECT_EQ(n.completion(keeper).sb_flags, 0) << "cleared by the next write";
    EXPECT_EQ(n.completion(keeper).lvb, lvb_of('w'));
    const LockId b = n.lock(Mode::EX, 0, "s"), k = n.lock(Mode::NL, 0, "s");
    EXPECT_EQ(n.unlock(b, lkf::ivvalblk), 0);
    n.seen();
    EXPECT_EQ(n.convert(k, Mode::CR), 0);
    EXPECT_EQ(n.seen(), std::to_string(k) + ":0+2") << "by unlock, on a resource without a value";
}

TEST_P(DlmLvb, s10_4_ivvalblk_does_nothing_below_pw) {
    const LockId a = n.lock(Mode::PR), k = n.lock(Mode::NL);
    EXPECT_EQ(n.convert(a, Mode::CR, lkf::ivvalblk), 0);
    EXPECT_EQ(n.unlock(a, lkf::ivvalblk), 0);
    n.seen();
    EXPECT_EQ(n.convert(k, Mode::PR), 0);
    EXPECT_EQ(n.seen(), "2:0");
}

TEST_P(DlmLvb, s10_5_the_value_goes_with_the_last_lock) {
    for (const std::uint32_t how : {lkf::valblk, lkf::ivvalblk}) {
        const LockId a = n.lock(Mode::EX, lkf::valblk);
        EXPECT_EQ(n.seen(), "1:0");
        EXPECT_EQ(n.completion(a).lvb, zero_lvb);
        const LvbBytes bytes = lvb_of('v');
        EXPECT_EQ(n.unlock(a, how, &bytes), 0);
        n.seen();
    }
    n.lock(Mode::PR, lkf::valblk);
    EXPECT_EQ(n.seen(), "1:0");
    EXPECT_EQ(n.completion(1).lvb, zero_lvb);
}

TEST_P(DlmLvb, s8_demotion_reads_the_value_again) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR);
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    EXPECT_EQ(n.convert(b, Mode::EX, lkf::convdeadlk | lkf::valblk), 0);
    EXPECT_EQ(n.convert(a, Mode::NL, lkf::valblk, lvb_of('v')), 0);
    n.seen();
    EXPECT_EQ(n.completion(b).sb_flags, sbf::demoted);
    EXPECT_EQ(n.completion(b).lvb, lvb_of('v'));
}

using DlmBast = OneNode;
INSTANTIATE_TEST_SUITE_P(, DlmBast, cachings);

TEST_P(DlmBast, s9_once_per_level_newest_first_not_to_waiting_or_converting) {
    const LockId a = n.lock(Mode::CR), b = n.lock(Mode::CR);
    n.seen();
    const LockId w = n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "2<EX 1<EX");                         // O29
    n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "") << "the same level, and the waiting one gets none";
    n.unlock(w, lkf::cancel);
    EXPECT_EQ(n.seen(), "3:ECANCEL!") << "not again after a cancel";
    EXPECT_EQ(n.convert(a, Mode::CR), 0);
    EXPECT_EQ(n.seen(), "1:0 1<EX") << "a grant brings a new one, behind the completion";
    (void)b;
}

TEST_P(DlmBast, s9_not_for_its_own_conversion_and_never_again) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR), c = n.lock(Mode::PR);
    n.seen();
    EXPECT_EQ(n.convert(a, Mode::EX), 0);
    EXPECT_EQ(n.seen(), "3<EX 2<EX") << "not 1";
    EXPECT_EQ(n.unlock(c), 0);
    EXPECT_EQ(n.seen(), "3:EUNLOCK!") << "2 has been told, and may ignore it";
    const LockId d = n.lock(Mode::PR);
    EXPECT_EQ(n.unlock(d, lkf::cancel), 0);
    EXPECT_EQ(n.seen(), "3:ECANCEL!");
    EXPECT_EQ(n.unlock(b), 0);
    EXPECT_EQ(n.seen(), "2:EUNLOCK! 1:0");
}

TEST_P(DlmBast, s9_higher_modes_are_told) {
    n.lock(Mode::EX);
    n.lock(Mode::CR);
    EXPECT_EQ(n.seen(), "1:0 1<CR");
    n.lock(Mode::PR);
    EXPECT_EQ(n.seen(), "1<PR");
    n.lock(Mode::CW);
    EXPECT_EQ(n.seen(), "") << "lower";
    n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "1<EX");
}

TEST_P(DlmBast, s9_pr_against_cw_is_told) {
    n.lock(Mode::PR);
    n.seen();
    n.lock(Mode::PW);
    EXPECT_EQ(n.seen(), "1<PW");
    n.lock(Mode::CW);
    EXPECT_EQ(n.seen(), "1<CW");
}

TEST_P(DlmBast, s9_without_a_routine_nothing) {
    LockCall c = Node::request(Mode::EX);
    c.cookies.bast = 0;
    n.call(c);
    n.lock(Mode::EX);
    EXPECT_EQ(n.seen(), "1:0");
}

TEST_P(DlmBast, s8_o29_noqueue_tells_only_with_noqueuebast) {
    const LockId a = n.lock(Mode::PR), b = n.lock(Mode::PR);
    EXPECT_EQ(n.convert(a, Mode::EX, lkf::nodlckwt), 0);
    n.seen();
    n.lock(Mode::PW, lkf::noqueue);
    EXPECT_EQ(n.seen(), "3:EAGAIN!");
    n.lock(Mode::EX, lkf::noqueue | lkf::noqueuebast);
    EXPECT_EQ(n.seen(), "3:EAGAIN! 1<EX") << "the converting one, too; the other knows";
    n.lock(Mode::EX, lkf::noqueue | lkf::noqueuebast);
    EXPECT_EQ(n.seen(), "3:EAGAIN!");
    (void)b;
}

TEST_P(DlmBast, s9_a_fresh_grant_may_be_followed_by_its_notice) {
    const LockId a = n.lock(Mode::EX);
    n.lock(Mode::PR);
    n.lock(Mode::EX);
    n.seen();
    n.unlock(a);
    EXPECT_EQ(n.seen(), "1:EUNLOCK! 2:0 2<EX");
}

Callback blocking(LockId id, Mode mode) {
    Callback c;
    c.kind = Callback::Kind::blocking;
    c.id = id;
    c.mode = mode;
    return c;
}
Callback completion(LockId id, Mode mode, bool dead = false) {
    Callback c;
    c.id = id;
    c.mode = mode;
    c.dead = dead;
    return c;
}

TEST(DlmDelivery, s4_in_order_per_lock) {
    DeliveryQueue q;
    EXPECT_TRUE(q.empty());
    ASSERT_TRUE(q.push(completion(1, Mode::EX)));
    ASSERT_TRUE(q.push(blocking(1, Mode::PR)));
    ASSERT_TRUE(q.push(completion(2, Mode::NL)));
    EXPECT_EQ(q.pop()->id, 1U);
    EXPECT_EQ(q.pop()->kind, Callback::Kind::blocking);
    EXPECT_EQ(q.pop()->id, 2U);
    EXPECT_FALSE(q.pop().has_value());
}

TEST(DlmDelivery, s4_a_notice_behind_one_of_the_same_or_a_higher_mode_above_pr_is_dropped) {
    DeliveryQueue q;
    ASSERT_TRUE(q.push(completion(1, Mode::CR)));
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));
    ASSERT_TRUE(q.push(blocking(1, Mode::PR)));
    EXPECT_EQ(q.size(), 2U);
    ASSERT_TRUE(q.push(completion(2, Mode::EX)));
    ASSERT_TRUE(q.push(blocking(2, Mode::PR)));
    ASSERT_TRUE(q.push(blocking(2, Mode::CW))) << "PR is not above PR";
    EXPECT_EQ(q.size(), 5U);
    ASSERT_TRUE(q.push(blocking(2, Mode::EX)));
    EXPECT_EQ(q.size(), 6U) << "higher";
    ASSERT_TRUE(q.push(completion(1, Mode::CR)));
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));
    EXPECT_EQ(q.size(), 8U) << "a completion between them";
}

TEST(DlmDelivery, s4_no_stale_notice_after_a_conversion_down) {
    DeliveryQueue q;
    ASSERT_TRUE(q.push(completion(1, Mode::NL)));
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));
    ASSERT_TRUE(q.push(completion(1, Mode::EX)));
    EXPECT_EQ(q.pop()->mode, Mode::NL);
    EXPECT_EQ(q.pop()->mode, Mode::EX);
    EXPECT_TRUE(q.empty());
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));
    EXPECT_FALSE(q.empty());
    EXPECT_TRUE(q.pop().has_value());
}

TEST(DlmDelivery, ids_used_again_start_anew) {
    DeliveryQueue q;
    ASSERT_TRUE(q.push(completion(1, Mode::NL)));
    ASSERT_TRUE(q.push(completion(1, Mode::NL, true)));
    q.pop();
    q.pop();
    ASSERT_TRUE(q.push(blocking(1, Mode::EX)));               // an adopted lock: no completion came first
    EXPECT_TRUE(q.pop().has_value());
}

TEST(DlmDelivery, bounded) {
    DeliveryQueue q(2);
    EXPECT_TRUE(q.push(completion(1, Mode::NL)));
    EXPECT_TRUE(q.push(completion(2, Mode::NL)));
    EXPECT_FALSE(q.push(completion(3, Mode::NL)));
    q.pop();
    EXPECT_TRUE(q.push(completion(3, Mode::NL)));
}

}  // namespace
}  // namespace sdlm::dlm::test
