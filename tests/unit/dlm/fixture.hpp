// SPDX-License-Identifier: LGPL-2.1-or-later
// One lockspace on one node; short words for calls and for what came of them.
#pragma once
#include <gtest/gtest.h>

#include <cerrno>
#include <initializer_list>
#include <string>
#include <vector>

#include "fake_cluster.hpp"
#include "locks/dlm/lockspace.hpp"

namespace sdlm::dlm::test {

inline constexpr Mode all_modes[] = {Mode::NL, Mode::CR, Mode::CW, Mode::PR, Mode::PW, Mode::EX};

inline LvbBytes lvb_of(char c) {
    LvbBytes bytes;
    bytes.fill(static_cast<std::byte>(c));
    return bytes;
}
inline const LvbBytes zero_lvb{};

class Node {
public:
    explicit Node(FakeCluster& c, std::size_t node = 0)
        : cluster(c), space(c.port(node), "ls", static_cast<std::uint32_t>(node) + 1) {
        EXPECT_TRUE(space.join().has_value());
        me = space.add_owner(1000);
    }
    LockResult call(LockCall c) {
        if (c.owner == no_owner) c.owner = me;
        if (c.tid == 0) c.tid = 1000;
        const LockResult result = space.lock(c, now);
        settle();
        return result;
    }
    static LockCall request(Mode mode, std::uint32_t flags = 0, std::string_view name = "r") {
        LockCall c;
        c.flags = flags;
        c.mode = static_cast<std::uint32_t>(mode);
        c.name = name;
        c.cookies = {.ast = 1, .arg = 2, .bast = 3, .lksb = 4};
        c.has_lvb = (flags & lkf::valblk) != 0;
        return c;
    }
    LockId lock(Mode mode, std::uint32_t flags = 0, std::string_view name = "r") {
        const LockResult result = call(request(mode, flags, name));
        EXPECT_EQ(result.error, 0);
        EXPECT_TRUE(result.completes);
        return result.id;
    }
    int convert(LockId id, Mode mode, std::uint32_t flags = 0, const LvbBytes& lvb = zero_lvb) {
        LockCall c = request(mode, flags | lkf::convert, "");
        c.id = id;
        c.lvb = lvb;
        return call(c).error;
    }
    int unlock(LockId id, std::uint32_t flags = 0, const LvbBytes* lvb = nullptr) {
        UnlockCall c;
        c.owner = me;
        c.id = id;
        c.flags = flags;
        c.has_lvb = lvb != nullptr;
        if (lvb != nullptr) c.lvb = *lvb;
        const UnlockResult result = space.unlock(c, now);
        completes = result.completes;
        settle();
        return result.error;
    }
    void settle() { EXPECT_TRUE(cluster.pump()) << "does not come to rest"; }

    // What came since the last look, and forgets it: "1:0" completion of lock 1 with status 0, "1:EAGAIN!" the lock is
    // dead, "1:0+1" sb_flags 1, "1<EX" blocking notice for EX. Locks have the names that name_lock() gave, else their
    // ids.
    std::string seen() {
        std::string text;
        for (const Callback& c : space.callbacks()) {
            if (!text.empty()) text += ' ';
            text += std::to_string(c.id);
            if (c.kind == Callback::Kind::blocking) {
                text += std::string("<") + locks::text(c.mode);
                continue;
            }
            text += ':' + status_text(c.status) + (c.dead ? "!" : "");
            if (c.sb_flags != 0) text += '+' + std::to_string(c.sb_flags);
        }
        last = std::move(space.callbacks());
        space.callbacks().clear();
        return text;
    }
    static std::string status_text(int status) {
        switch (status) {
            case 0: return "0";
            case EAGAIN: return "EAGAIN";
            case EDEADLK: return "EDEADLK";
            case ETIMEDOUT: return "ETIMEDOUT";
            case ENOMEM: return "ENOMEM";
            case EIO: return "EIO";
            case status_cancel: return "ECANCEL";
            case status_unlock: return "EUNLOCK";
            default: return std::to_string(status);
        }
    }
    // Of the completion of `id` that seen() took last.
    const Callback& completion(LockId id) const {
        static const Callback none;
        for (auto c = last.rbegin(); c != last.rend(); ++c)
            if (c->id == id && c->kind == Callback::Kind::completion) return *c;
        ADD_FAILURE() << "no completion of " << id;
        return none;
    }
    int status_of_row(LockId id) {
        for (const LockRow& row : space.lock_rows(now))
            if (row.id == id) return row.status;
        return 0;
    }

    FakeCluster& cluster;
    Lockspace space;
    OwnerId me = no_owner;
    Instant now{1'000'000'000};
    bool completes = false;
    std::vector<Callback> last;
};

// Every case runs with all modes at hand, and with a node that has to ask for each.
class OneNode : public ::testing::TestWithParam<FakeCluster::Caching> {
protected:
    FakeCluster cluster{1, GetParam()};
    Node n{cluster};
};
inline const auto cachings = ::testing::Values(FakeCluster::Caching::everything, FakeCluster::Caching::normal,
                                               FakeCluster::Caching::nothing);

}  // namespace sdlm::dlm::test
