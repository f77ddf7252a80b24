// SPDX-License-Identifier: LGPL-2.1-or-later
// Lockspaces of two and three nodes over one fake cluster: mutual exclusion, values and progress under random load; and
// the rows that only several nodes can show.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "fixture.hpp"

namespace sdlm::dlm::test {
namespace {

bool fit(Mode a, Mode b) { return locks::compatible(a, b); }

// Random programs on every node; looks at each callback with the eyes of all of them together.
class Load {
public:
    Load(std::size_t node_count, FakeCluster::Caching caching, std::uint64_t seed)
        : cluster_(node_count, caching, seed), random_(seed * 77 + 1) {
        for (std::size_t i = 0; i < node_count; ++i) {
            nodes_.push_back(std::make_unique<Lockspace>(cluster_.port(i), "ls", static_cast<std::uint32_t>(i) + 1));
            EXPECT_TRUE(nodes_[i]->join().has_value());
            owners_.push_back(nodes_[i]->add_owner(1));
        }
    }
    void run(int steps) {
        for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
            now_ = now_ + microseconds(500);
            if (random_.one_in(3)) operate();
            else cluster_.step();
            for (auto& node : nodes_) node->expire(now_);
            collect();
        }
        finish();
    }
    std::map<std::string, int> kinds;

private:
    struct Known {
        std::size_t node = 0;
        LockId id = no_lock;
        int resource = 0;
        std::optional<Mode> granted;
        bool busy = true;
        std::uint32_t flags = 0;
        Mode wanted = Mode::NL;
        LvbBytes sent{};
        bool dying = false;
    };
    struct Value {
        LvbBytes bytes{};
        bool valid = true;
    };
    using Key = std::pair<std::size_t, LockId>;

    void operate() {
        const std::size_t node = random_.below(nodes_.size());
        Known* l = nullptr;
        std::vector<Known*> mine;
        for (auto& [key, known] : locks_)
            if (known.node == node && !known.dying) mine.push_back(&known);
        if (!mine.empty()) l = mine[random_.below(mine.size())];
        if (l == nullptr || (mine.size() < 6 && random_.one_in(2))) return request(node);
        if (l->busy) {
            if (random_.one_in(6)) unlock(*l, lkf::cancel);
            return;
        }
        if (random_.one_in(3)) return unlock(*l, 0);
        convert(*l);
    }
    std::uint32_t some_flags() {
        static constexpr std::uint32_t some[] = {lkf::noqueue, lkf::noqueue,  lkf::noqueuebast,
                                                 lkf::headque, lkf::noorder,  lkf::altpr,
                                                 lkf::altcw,   lkf::nodlckwt, lkf::quecvt};
        return lkf::valblk | (random_.one_in(2) ? some[random_.below(std::size(some))] : 0);
    }
    LockCall call(std::size_t node, std::uint32_t flags, int resource) {
        static const std::string names[] = {"a", "b"};
        LockCall c = Node::request(static_cast<Mode>(random_.below(6)), flags, names[resource]);
        c.owner = owners_[node];
        for (std::byte& b : c.lvb) b = static_cast<std::byte>(random_.below(256));
        return c;
    }
    void request(std::size_t node) {
        const int resource = static_cast<int>(random_.below(2));
        const LockCall c = call(node, some_flags() & ~lkf::quecvt, resource);
        const LockResult result = nodes_[node]->lock(c, now_);
        ASSERT_EQ(result.error, 0);
        locks_[{node, result.id}] = {.node = node, .id = result.id, .resource = resource, .granted = std::nullopt,
                                     .busy = true, .flags = c.flags, .wanted = static_cast<Mode>(c.mode), .sent = {}};
        collect();
    }
    void convert(Known& l) {
        // A conversion put before another that holds what it needs waits for ever, in every DLM: no HEADQUE.
        LockCall c = call(l.node, (some_flags() & ~lkf::headque) | lkf::convert, 0);
        if (random_.one_in(3)) c.mode = 0;
        c.id = l.id;
        const Known before = l;
        l.busy = true;
        l.flags = c.flags;
        l.wanted = static_cast<Mode>(c.mode);
        l.sent = c.lvb;
        const LockResult result = nodes_[l.node]->lock(c, now_);
        if (result.error == EINVAL) l = before;               // QUECVT downward
        else EXPECT_EQ(result.error, 0);
        collect();
    }
    void unlock(Known& l, std::uint32_t flags) {
        if (flags == 0) {
            l.dying = true;
            l.granted.reset();           // from here on it protects nothing
            drop_value(l.resource);
        }
        const UnlockResult result = nodes_[l.node]->unlock(
            {.owner = owners_[l.node], .id = l.id, .flags = flags, .cookies = {}, .lvb = {}}, now_);
        EXPECT_EQ(result.error, 0);
        collect();
    }
    // The value lives while somebody has a lock or waits for one.
    void drop_value(int resource) {
        for (const auto& [key, l] : locks_)
            if (l.resource == resource && !l.dying) return;
        values_[resource] = {};
    }

    void collect() {
        for (std::size_t node = 0; node < nodes_.size(); ++node) {
            for (const Callback& c : nodes_[node]->callbacks()) look_at(node, c);
            nodes_[node]->callbacks().clear();
        }
    }
    void look_at(std::size_t node, const Callback& c) {
        const auto found = locks_.find({node, c.id});
        ASSERT_NE(found, locks_.end());
        Known& l = found->second;
        if (c.kind == Callback::Kind::blocking) {
            ++kinds["BAST"];
            return;
        }
        ++kinds[Node::status_text(c.status)];
        EXPECT_TRUE(l.busy || c.status == status_unlock) << "two completions of one operation";
        l.busy = false;
        if (c.status == 0) granted(l, c);
        if (!c.dead) return;
        const int resource = l.resource;
        locks_.erase(found);
        drop_value(resource);
    }
    void granted(Known& l, const Callback& c) {
        for (const auto& [key, other] : locks_) {
            if (&other == &l || other.resource != l.resource || !other.granted) continue;
            EXPECT_TRUE(fit(*other.granted, c.mode))
                << "both " << locks::text(*other.granted) << " on node " << other.node << " and " << locks::text(c.mode)
                << " on node " << l.node;
        }
        const Mode old = l.granted.value_or(Mode::NL);
        const bool writes = l.granted && (old == Mode::EX || (old == Mode::PW && c.mode != Mode::EX));
        l.granted = c.mode;
        Value& value = values_[l.resource];
        if (writes) value = {l.sent, true};
        // A value is sure where no writer can be beside: NL and CR may show one that is being written on another node.
        if (c.has_lvb && !fit(c.mode, Mode::PW)) {
            EXPECT_EQ(c.lvb, value.bytes) << "resource " << l.resource << " mode " << locks::text(c.mode);
        }
        EXPECT_EQ(c.sb_flags & sbf::valnotvalid, 0);
    }
    std::string rows() const {
        std::string text;
        for (std::size_t node = 0; node < nodes_.size(); ++node) {
            for (const ResourceRow& r : nodes_[node]->resource_rows(now_)) {
                text += "node " + std::to_string(node) + " " + std::string(r.name) + " held " + locks::text(r.held) +
                        " blocked " + locks::text(r.blocked) + ':';
                for (const auto* queue : {&r.granted, &r.converting, &r.waiting})
                    for (const LockRow& l : *queue)
                        text += ' ' + std::to_string(l.id) + '(' + std::to_string(l.granted) + "->" +
                                std::to_string(l.wanted) + " flags " + std::to_string(l.flags) + ')';
                for (const WaiterRow& w : nodes_[node]->waiter_rows(now_))
                    if (w.name == r.name) text += " asks for " + std::to_string(w.id);
                text += '\n';
            }
        }
        return text;
    }
    // Everybody lets go; then nothing may be left waiting.
    void finish() {
        for (int round = 0; round < 1000 && !locks_.empty(); ++round) {
            int steps = 0;
            for (; steps < 10'000 && cluster_.step(); ++steps) collect();
            EXPECT_LT(steps, 10'000) << "does not come to rest";
            now_ = now_ + milliseconds(400);
            for (auto& node : nodes_) node->expire(now_);
            collect();
            Known* free = nullptr;
            Known* patient = nullptr;    // asked to wait in a conversion deadlock
            for (auto& [key, l] : locks_) {
                if (!l.busy) free = &l;
                else if (l.granted && (l.flags & lkf::nodlckwt) != 0) patient = &l;
            }
            if (free != nullptr) unlock(*free, 0);
            else if (patient != nullptr && round % 10 == 0) unlock(*patient, lkf::cancel);
        }
        EXPECT_TRUE(locks_.empty()) << locks_.size() << " locks wait for ever:\n" << rows();
        for (auto& node : nodes_) EXPECT_FALSE(node->has_locks());
    }

    FakeCluster cluster_;
    Prng random_;
    std::vector<std::unique_ptr<Lockspace>> nodes_;
    std::vector<OwnerId> owners_;
    std::map<Key, Known> locks_;
    std::map<int, Value> values_;
    Instant now_{1'000'000'000};
};

class RandomCluster : public ::testing::TestWithParam<std::tuple<std::size_t, FakeCluster::Caching>> {};

TEST_P(RandomCluster, excludes_keeps_values_and_gets_on) {
    std::map<std::string, int> kinds;
    const auto [node_count, caching] = GetParam();
    for (std::uint64_t seed = 1; seed <= 400 && !HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Load load(node_count, caching, seed);
        load.run(1500);
        for (const auto& [kind, count] : load.kinds) kinds[kind] += count;
    }
    for (const char* kind : {"0", "EAGAIN", "EDEADLK", "ECANCEL", "EUNLOCK", "BAST"})
        EXPECT_GT(kinds[kind], 50) << kind;
}
INSTANTIATE_TEST_SUITE_P(, RandomCluster,
                         ::testing::Combine(::testing::Values(2U, 3U),
                                            ::testing::Values(FakeCluster::Caching::normal,
                                                              FakeCluster::Caching::nothing)));

class TwoNodes : public ::testing::Test {
protected:
    FakeCluster cluster{2};
    Node a{cluster, 0}, b{cluster, 1};
};

TEST_F(TwoNodes, holders_on_the_other_node_are_told_once_per_level_and_let_go) {
    a.lock(Mode::PR);
    b.lock(Mode::PR);
    EXPECT_EQ(a.seen() + b.seen(), "1:01:0");
    const LockId w = b.lock(Mode::EX);
    EXPECT_EQ(b.seen(), "1<EX");
    EXPECT_EQ(a.seen(), "1<EX");
    a.lock(Mode::PR);
    EXPECT_EQ(a.seen(), "") << "behind the EX of the other node";
    a.lock(Mode::PR, lkf::noqueue);
    EXPECT_EQ(a.seen(), "3:EAGAIN!");
    a.unlock(1);
    b.unlock(1);
    EXPECT_EQ(b.seen(), "1:EUNLOCK! 2:0 2<PR");
    EXPECT_EQ(a.seen(), "1:EUNLOCK!");
    b.unlock(w);
    EXPECT_EQ(a.seen(), "2:0");
}

TEST_F(TwoNodes, noqueue_is_not_refused_for_what_is_only_cached) {
    const LockId id = a.lock(Mode::EX);
    a.unlock(id);
    b.lock(Mode::EX, lkf::noqueue);
    EXPECT_EQ(b.seen(), "1:0");
    a.seen();
    a.lock(Mode::CR, lkf::noqueue);
    EXPECT_EQ(a.seen(), "1:EAGAIN!");
    EXPECT_EQ(b.seen(), "");
    a.lock(Mode::CR, lkf::noqueue | lkf::noqueuebast);
    EXPECT_EQ(a.seen(), "1:EAGAIN!");
}

TEST_F(TwoNodes, conversion_deadlock_across_nodes) {
    const LockId x = a.lock(Mode::PR), y = b.lock(Mode::PR);
    EXPECT_EQ(a.convert(x, Mode::EX), 0);
    a.seen();
    b.seen();
    EXPECT_EQ(b.convert(y, Mode::EX), 0);
    EXPECT_EQ(b.seen(), "1:EDEADLK");
    EXPECT_EQ(b.convert(y, Mode::EX, lkf::convdeadlk), 0);
    EXPECT_EQ(b.seen(), "");
    EXPECT_EQ(a.seen(), "1:0 1<EX");
    a.unlock(x);
    EXPECT_EQ(b.seen(), "1:0+1");
}

TEST_F(TwoNodes, nodlckwt_waits_across_nodes) {
    const LockId x = a.lock(Mode::PR), y = b.lock(Mode::PR);
    EXPECT_EQ(a.convert(x, Mode::EX), 0);
    EXPECT_EQ(b.convert(y, Mode::EX, lkf::nodlckwt), 0);
    a.seen();
    b.seen();
    EXPECT_EQ(a.status_of_row(x), 3);
    EXPECT_EQ(b.status_of_row(y), 3);
    a.unlock(x);
    EXPECT_EQ(b.seen(), "1:0");
}

TEST_F(TwoNodes, altpr_across_nodes) {
    b.lock(Mode::PR);
    a.lock(Mode::EX, lkf::altpr);
    EXPECT_EQ(a.seen(), "1:0+4");
}

TEST_F(TwoNodes, values_travel) {
    const LockId x = a.lock(Mode::EX, lkf::valblk), y = b.lock(Mode::NL, lkf::valblk);
    EXPECT_EQ(a.convert(x, Mode::NL, lkf::valblk, lvb_of('v')), 0);
    EXPECT_EQ(b.convert(y, Mode::PR, lkf::valblk), 0);
    b.seen();
    EXPECT_EQ(b.completion(y).lvb, lvb_of('v'));
    a.unlock(x);
    EXPECT_EQ(b.convert(y, Mode::CR), 0);
    EXPECT_EQ(b.convert(y, Mode::EX, lkf::valblk), 0);
    b.seen();
    EXPECT_EQ(b.completion(y).lvb, lvb_of('v')) << "while some node has a lock";
    b.unlock(y);
    a.seen();
    const LockId z = a.lock(Mode::PR, lkf::valblk);
    EXPECT_EQ(a.seen(), "1:0");
    EXPECT_EQ(a.completion(z).lvb, zero_lvb);
}

TEST_F(TwoNodes, the_death_of_a_writing_node_marks_the_value) {
    const LockId y = b.lock(Mode::NL, lkf::valblk);
    a.lock(Mode::EX);
    b.seen();
    cluster.kill(0);
    EXPECT_EQ(b.convert(y, Mode::PR, lkf::valblk), 0);
    EXPECT_EQ(b.seen(), "1:0+2");
}

TEST_F(TwoNodes, a_local_request_in_the_way_does_not_lose_the_turn) {
    const LockId x = a.lock(Mode::PR);
    a.lock(Mode::EX);                       // waits for x only; the node has EX by now
    a.seen();
    b.lock(Mode::PR);
    EXPECT_EQ(b.seen(), "") << "behind the EX, as in one queue";
    a.unlock(x);
    EXPECT_EQ(a.seen(), "1:EUNLOCK! 2:0 2<PR");
    a.unlock(2);
    EXPECT_EQ(b.seen(), "1:0");
}

// A stream of local locks, none with a gap before the next, may not keep another node out.
TEST_F(TwoNodes, local_requests_do_not_starve_another_node) {
    LockId now = a.lock(Mode::EX);
    b.lock(Mode::EX);
    b.seen();
    LockCall call = Node::request(Mode::EX);
    call.owner = a.me;
    bool granted = false;
    for (int i = 0; i < 20 && !granted; ++i) {
        const LockId next = a.space.lock(call, a.now).id;
        a.space.unlock({.owner = a.me, .id = now, .cookies = {}, .lvb = {}}, a.now);
        now = next;
        a.settle();
        granted = b.seen().starts_with("1:0");
    }
    EXPECT_TRUE(granted);
}

TEST_F(TwoNodes, local_conversions_from_nl_do_not_starve_another_node) {
    const LockId x = a.lock(Mode::NL), y = a.lock(Mode::NL);
    a.convert(x, Mode::EX);
    const LockId z = b.lock(Mode::NL);
    EXPECT_EQ(b.convert(z, Mode::EX), 0);
    b.seen();
    const LockId turn[2] = {x, y};
    bool granted = false;
    for (int i = 0; i < 20 && !granted; ++i) {
        for (const auto& [id, mode] : {std::pair{turn[i % 2], Mode::NL}, std::pair{turn[(i + 1) % 2], Mode::EX}}) {
            LockCall c = Node::request(mode, lkf::convert, "");
            c.owner = a.me;
            c.id = id;
            a.space.lock(c, a.now);
        }
        a.settle();
        granted = b.seen().starts_with("1:0");
    }
    EXPECT_TRUE(granted);
}

// NOQUEUE behind a local operation that waits for another node: an answer within the bound.
TEST_F(TwoNodes, noqueue_behind_an_open_request_is_answered_in_time) {
    const LockId x = b.lock(Mode::PR);
    a.lock(Mode::EX);
    a.seen();
    a.lock(Mode::CR, lkf::noqueue);
    EXPECT_EQ(a.seen(), "") << "the EX may be granted any moment";
    EXPECT_EQ(a.space.next_deadline(), a.now + milliseconds(1000));
    a.space.expire(a.now + milliseconds(1000));
    a.settle();
    EXPECT_EQ(a.seen(), "2:EAGAIN!");
    b.unlock(x);
    EXPECT_EQ(a.seen(), "1:0");
}

}  // namespace
}  // namespace sdlm::dlm::test
