// SPDX-License-Identifier: LGPL-2.1-or-later
// The same random operations on the lockspace and on the reference model: every answer and every callback must agree,
// in order. With all modes at hand the order is that of all callbacks; when the node asks, it is the order per lock.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "fixture.hpp"
#include "reference_model.hpp"

namespace sdlm::dlm::test {
namespace {


class Pair {
public:
    Pair(FakeCluster::Caching caching, std::uint64_t seed)
        : in_order_(caching == FakeCluster::Caching::everything), cluster_(1, caching, seed),
          space_(cluster_.port(0), "ls", 1), random_(seed) {
        EXPECT_TRUE(space_.join().has_value());
        for (int i = 0; i < 4; ++i) add_owner();
    }
    void run(int operations) {
        for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
            now_ = now_ + Duration{1};
            log_ = "operation " + std::to_string(i) + ": ";
            one();
            EXPECT_TRUE(cluster_.pump());
            compare();
        }
        EXPECT_EQ(space_.counts().locks, model_.locks().size());
    }
    std::map<std::string, int> kinds;    // of callbacks, to show that the run was worth something

private:
    void add_owner() {
        const auto process = static_cast<std::uint32_t>(1 + random_.below(2));
        const OwnerId owner = space_.add_owner(process);
        model_.add_owner(owner, process);
        owners_.push_back(owner);
    }
    std::uint32_t random_flags() {
        static constexpr std::uint32_t some[] = {
            lkf::valblk,  lkf::valblk,      lkf::ivvalblk,   lkf::quecvt,  lkf::convdeadlk, lkf::persistent,
            lkf::noqueue, lkf::noqueuebast, lkf::expedite,   lkf::headque, lkf::noorder,    lkf::altpr,
            lkf::altcw,   lkf::nodlckwt,    lkf::noqueue,    lkf::timeout, lkf::nodlckblk,  0x2000000};
        std::uint32_t flags = 0;
        for (std::uint64_t n = random_.below(4); n > 0; --n) flags |= some[random_.below(std::size(some))];
        // With HEADQUE an operation may be granted sooner than the model says, while the node asks (DEVIATIONS.md).
        return in_order_ ? flags : flags & ~lkf::headque;
    }
    Cookies random_cookies() {
        return {.ast = 1 + random_.below(9),
                .arg = random_.below(3),
                .bast = random_.below(4),
                .lksb = 1 + random_.below(9)};
    }
    LvbBytes random_lvb() {
        LvbBytes bytes;
        for (std::byte& b : bytes) b = static_cast<std::byte>(random_.below(256));
        return bytes;
    }
    LockId some_id() {                   // mostly one that lives
        if (real_of_.empty() || random_.one_in(40)) return static_cast<LockId>(random_.below(30));
        auto at = real_of_.begin();
        std::advance(at, static_cast<std::ptrdiff_t>(random_.below(real_of_.size())));
        return at->second;
    }
    ReferenceModel::Id model_id(LockId id) const {
        const auto found = model_of_.find(id);
        return found != model_of_.end() ? found->second : 0;
    }
    OwnerId some_owner() { return owners_[random_.below(owners_.size())]; }

    void one() {
        const std::uint64_t what = random_.below(100);
        if (what < 34) lock();
        else if (what < 68) convert();
        else if (what < 82) unlock(random_flags() & (lkf::valblk | lkf::ivvalblk));
        else if (what < 90) unlock(lkf::cancel);
        else if (what < 91) unlock(random_flags());
        else if (what < 93) deadlock_cancel();
        else if (what < 95) close_owner();
        else if (what < 96) purge();
        else if (what < 98) adopt();
        else expire();
    }
    LockCall call(std::uint32_t flags) {
        static const std::string names[] = {"a", "b", std::string("c\0d", 3)};
        LockCall c;
        c.owner = some_owner();
        c.tid = static_cast<std::uint32_t>(500 + random_.below(3));
        c.flags = flags;
        c.mode = static_cast<std::uint32_t>(random_.below(6));
        c.name = names[random_.below(3)];
        c.cookies = random_cookies();
        c.has_lvb = !random_.one_in(8);
        if (c.has_lvb) c.lvb = random_lvb();
        c.timeout_cs = static_cast<std::uint32_t>(random_.below(4));
        return c;
    }
    void both(const LockCall& c) {
        log_ +=
            "lock flags " + std::to_string(c.flags) + " mode " + std::to_string(c.mode) + " id " + std::to_string(c.id);
        const LockResult real = space_.lock(c, now_);
        const ReferenceModel::Answer wanted = model_.lock(c, model_id(c.id), now_);
        EXPECT_EQ(real.error, wanted.error) << log_;
        EXPECT_EQ(real.completes, wanted.completes) << log_;
        if (real.error != 0 || wanted.error != 0) return;
        if (real_of_.contains(wanted.id)) {
            EXPECT_EQ(real_of_.at(wanted.id), real.id) << log_;
        }
        if ((c.flags & (lkf::orphan | lkf::convert)) == lkf::orphan) told_.erase(wanted.id);
        real_of_[wanted.id] = real.id;
        model_of_[real.id] = wanted.id;
    }
    void lock() {
        LockCall c = call(random_flags());
        if (random_.one_in(2))
            c.mode = static_cast<std::uint32_t>(random_.below(4));   // so that there is something to convert
        both(c);
    }
    void adopt() { both(call(random_flags() | lkf::orphan)); }
    void convert() {
        LockCall c = call(random_flags() | lkf::convert);
        if (random_.one_in(4)) c.flags |= lkf::convdeadlk;
        c.id = some_id();
        both(c);
    }
    void unlock(std::uint32_t flags) {
        UnlockCall c;
        c.owner = some_owner();
        c.id = some_id();
        c.flags = flags;
        c.cookies = random_cookies();
        if (random_.one_in(2)) c.cookies.ast = 0;
        if (random_.one_in(2)) c.cookies.lksb = 0;
        c.has_lvb = random_.one_in(2);
        c.lvb = random_lvb();
        log_ += "unlock flags " + std::to_string(flags) + " id " + std::to_string(c.id);
        const UnlockResult real = space_.unlock(c, now_);
        const ReferenceModel::Answer wanted = model_.unlock(c, model_id(c.id));
        EXPECT_EQ(real.error, wanted.error) << log_;
        EXPECT_EQ(real.completes, wanted.completes) << log_;
    }
    void deadlock_cancel() {
        const OwnerId owner = some_owner();
        LockId id = some_id();
        if (id == no_lock) id = 1;
        log_ += "deadlock_cancel " + std::to_string(id);
        const UnlockResult real = space_.deadlock_cancel(owner, id, 0, now_);
        const ReferenceModel::Answer wanted = model_.deadlock_cancel(owner, model_id(id));
        EXPECT_EQ(real.error, wanted.error) << log_;
        EXPECT_EQ(real.completes, wanted.completes) << log_;
    }
    void close_owner() {
        const std::size_t at = random_.below(owners_.size());
        log_ += "close of owner " + std::to_string(owners_[at]);
        space_.remove_owner(owners_[at]);
        model_.remove_owner(owners_[at]);
        owners_.erase(owners_.begin() + static_cast<std::ptrdiff_t>(at));
        add_owner();
    }
    void purge() {
        static constexpr std::uint32_t pids[] = {0, 500, 501, 502};
        const PurgeCall c{.owner = some_owner(), .tid = 500, .node = 1, .pid = pids[random_.below(4)]};
        log_ += "purge";
        EXPECT_EQ(space_.purge(c), 0);
        model_.purge(c);
    }
    void expire() {
        log_ += "time passes";
        now_ = now_ + milliseconds(10);
        space_.expire(now_);
        model_.expire(now_);
    }

    std::string text(const Callback& c) const {
        std::string s = "lock " + std::to_string(model_id(c.id)) + " owner " + std::to_string(c.owner);
        s += c.kind == Callback::Kind::blocking ? " blocks " : " completes, mode ";
        s += c.dead ? "-" : std::to_string(static_cast<int>(c.mode));
        return s + rest(c.status, c.sb_flags, c.has_lvb, c.lvb, c.cookies);
    }
    static std::string text(const ReferenceModel::Event& e) {
        std::string s = "lock " + std::to_string(e.id) + " owner " + std::to_string(e.owner);
        s += e.blocking ? " blocks " : " completes, mode ";
        s += e.dead ? "-" : std::to_string(e.mode);
        return s + rest(e.status, e.sb_flags, e.has_lvb, e.lvb, e.cookies);
    }
    static std::string rest(int status, int sb_flags, bool has_lvb, const LvbBytes& lvb, const Cookies& cookies) {
        std::string s = " status " + std::to_string(status) + " sb_flags " + std::to_string(sb_flags) + " cookies " +
                        std::to_string(cookies.ast) + ',' + std::to_string(cookies.arg) + ',' +
                        std::to_string(cookies.bast) + ',' + std::to_string(cookies.lksb) + " lvb";
        if (!has_lvb) return s + " none\n";
        for (int i = 0; i < 4; ++i) s += ' ' + std::to_string(static_cast<int>(lvb[static_cast<std::size_t>(i)]));
        return s + (lvb == LvbBytes{} ? " zeros\n" : "\n");
    }
    void compare() {
        std::map<std::uint64_t, std::string> real, wanted;     // by lock, or all under 0
        std::vector<LockId> dead;
        for (const Callback& c : space_.callbacks()) {
            const bool blocking = c.kind == Callback::Kind::blocking;
            const ReferenceModel::Id id = model_id(c.id);
            if (blocking) told_.insert(id);
            else if (c.status == 0) told_.erase(id);
            ++kinds[blocking ? "BAST" : Node::status_text(c.status)];
            if (c.sb_flags != 0) ++kinds["sb_flags " + std::to_string(c.sb_flags)];
            if (in_order_ || !blocking) real[in_order_ ? 0 : id] += text(c);
        }
        for (const ReferenceModel::Event& e : model_.events)
            if (in_order_ || !e.blocking) wanted[in_order_ ? 0 : e.id] += text(e);
        EXPECT_EQ(real, wanted) << log_;
        for (auto at = real_of_.begin(); at != real_of_.end();) {
            if (model_.locks().contains(at->first)) {
                ++at;
                continue;
            }
            model_of_.erase(at->second);
            told_.erase(at->first);
            at = real_of_.erase(at);
        }
        space_.callbacks().clear();
        model_.events.clear();
        compare_rows();
        // When grants come later, a notice may tell of one waiter more or less. But whoever is to be told is told.
        for (const auto& [id, l] : model_.locks())
            EXPECT_TRUE(l.told < 0 || told_.contains(id)) << log_ << ", lock " << id;
    }
    void compare_rows() {
        std::map<std::uint64_t, std::string> real, wanted;
        for (const LockRow& row : space_.lock_rows(now_))
            real[model_id(row.id)] = std::to_string(row.granted) + ' ' + std::to_string(row.wanted) + ' ' +
                                     std::to_string(row.orphan) + ' ' + std::to_string(row.pid);
        for (const auto& [id, l] : model_.locks())
            wanted[id] = std::to_string(l.granted) + ' ' + std::to_string(l.wanted) + ' ' +
                         std::to_string(l.owner == 0) + ' ' + std::to_string(l.tid);
        EXPECT_EQ(real, wanted) << log_;
    }

    bool in_order_;
    FakeCluster cluster_;
    Lockspace space_;
    ReferenceModel model_;
    Prng random_;
    Instant now_{1'000'000'000};
    std::vector<OwnerId> owners_;
    std::map<ReferenceModel::Id, LockId> real_of_;
    std::map<LockId, ReferenceModel::Id> model_of_;
    std::set<ReferenceModel::Id> told_;  // blocking notices since the last grant
    std::string log_;
};

class RandomOperations : public ::testing::TestWithParam<FakeCluster::Caching> {};

TEST_P(RandomOperations, agree_with_the_reference_model) {
    std::map<std::string, int> kinds;
    for (std::uint64_t seed = 1; seed <= 400 && !HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Pair pair(GetParam(), seed);
        pair.run(400);
        for (const auto& [kind, count] : pair.kinds) kinds[kind] += count;
    }
    for (const char* kind : {"0", "EAGAIN", "EDEADLK", "ETIMEDOUT", "ECANCEL", "EUNLOCK", "BAST", "sb_flags 1",
                             "sb_flags 2", "sb_flags 4"})
        EXPECT_GT(kinds[kind], 50) << kind;
}

INSTANTIATE_TEST_SUITE_P(, RandomOperations, cachings);

}  // namespace
}  // namespace sdlm::dlm::test
