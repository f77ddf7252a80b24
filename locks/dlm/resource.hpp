// SPDX-License-Identifier: LGPL-2.1-or-later
// Locks and their resources as the lockspace keeps them. Only the .cpp files of this folder see these.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "disk/base/assert.hpp"
#include "locks/core/mode.hpp"
#include "locks/dlm/lockspace.hpp"

namespace sdlm::dlm {

struct Resource;

// Where a lock stands. `undecided`: NOQUEUE and the like, waiting for the other nodes' answer; a conversion among these
// is on the granted queue meanwhile.
enum class Place : std::uint8_t { none, reserved, granted, converting, waiting };

struct Lock {
    LockId id = no_lock;
    Place place = Place::none;
    bool has_granted = false;             // false: a new request
    Mode granted = Mode::NL;
    Mode wanted = Mode::NL;               // while an operation is under way
    bool busy = false;                    // an operation is under way
    bool undecided = false;
    bool node_refused = false;            // the nodes said no to `wanted`; ... to the other mode of ALTPR, ALTCW
    bool node_refused_alt = false;
    bool node_granted = false;            // the nodes said yes: not held back by those who wait there
    bool searching = false;               // queued, and takes part in the search for deadlocks
    bool due_other = false;               // queued: the other mode of ALTPR, ALTCW is what could be granted
    std::uint8_t sb_flags = 0;
    std::int8_t told = -1;   // highest mode that a blocking notice was made for since the last grant; -1: none
    std::uint32_t flags = 0;
    OwnerId owner = no_owner;             // no_owner: an orphan
    std::uint32_t process = 0;
    std::uint32_t tid = 0;
    std::uint64_t xid = 0;
    std::uint64_t sequence = 0;           // of the operation
    Cookies cookies;
    Resource* resource = nullptr;
    Lock* previous = nullptr;             // in its queue
    Lock* next = nullptr;
    Lock* owner_previous = nullptr;       // among its owner's, in order of creation
    Lock* owner_next = nullptr;
    Instant since{};
    Instant asked_at = never;             // first time that the nodes were asked for the operation; never: not yet
    Instant timeout = never;
    Instant patience = never;
    bool has_lvb = false;
    LvbBytes lvb{};                       // of the caller, for an operation that writes it

    bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    bool orphan() const { return owner == no_owner; }
};

// Intrusive, by one of the two pairs of links.
template <Lock* Lock::*previous, Lock* Lock::*next>
class LockList {
public:
    bool empty() const { return first_ == nullptr; }
    Lock* first() const { return first_; }
    void push_back(Lock& l) {
        l.*previous = last_;
        l.*next = nullptr;
        (last_ != nullptr ? last_->*next : first_) = &l;
        last_ = &l;
    }
    void push_front(Lock& l) {
        l.*previous = nullptr;
        l.*next = first_;
        (first_ != nullptr ? first_->*previous : last_) = &l;
        first_ = &l;
    }
    void remove(Lock& l) {
        (l.*previous != nullptr ? (l.*previous)->*next : first_) = l.*next;
        (l.*next != nullptr ? (l.*next)->*previous : last_) = l.*previous;
        l.*previous = l.*next = nullptr;
    }

private:
    Lock* first_ = nullptr;
    Lock* last_ = nullptr;
};
using LockQueue = LockList<&Lock::previous, &Lock::next>;
using OwnerList = LockList<&Lock::owner_previous, &Lock::owner_next>;

// Of two that are queued on one resource.
inline bool precedes(const Lock& a, const Lock& b) {
    if (a.place != b.place) return a.place == Place::converting;
    const Lock* l = a.next;
    while (l != nullptr && l != &b) l = l->next;
    return l != nullptr;
}

constexpr std::uint8_t mode_bit(Mode m) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(m)); }
constexpr bool conflicts_with_any(Mode m, std::uint8_t modes) {
    return (~locks::detail::compatible_mask[static_cast<std::size_t>(m)] & modes) != 0;
}
constexpr Mode join_of(std::uint8_t modes) {
    Mode all = Mode::NL;
    for (unsigned m = 1; m < 6; ++m)
        if ((modes & (1U << m)) != 0) all = locks::join(all, static_cast<Mode>(m));
    return all;
}

struct Resource {
    std::string name;
    locks::Handle handle = locks::no_handle;
    LockQueue granted;                    // newest grant first
    LockQueue converting, waiting;
    std::vector<Lock*> undecided;         // in order of arrival
    std::array<std::uint32_t, 6> count{}; // granted modes, of converting locks too
    std::uint8_t modes = 0;               // those with a count
    std::size_t locks = 0;
    Mode mark = Mode::NL;                 // what other nodes wait for
    Lock* asking = nullptr;               // whose want the node has
    bool guess = false;                   // ... although a local lock is in its way, too
    Lock* reserve = nullptr;              // queued; the nodes have granted it, a local lock is in its way
    std::vector<Lock*> due;               // queued; by the last scan only the nodes' word was missing
    bool deferred = false;                // some were undecided since the last look
    bool scan_owed = false;               // what was found or queued meanwhile depends on the nodes' answer
    bool stated_valid = false;
    locks::Demand stated;
    std::array<locks::Handle, disk::waits_for_max> waits_on{};   // what its holders wait for, while other nodes wait
    Resource* idle_previous = nullptr;
    Resource* idle_next = nullptr;
    bool idle = false;

    void count_mode(Mode m) {
        if (count[static_cast<std::size_t>(m)]++ == 0) modes = static_cast<std::uint8_t>(modes | mode_bit(m));
    }
    void uncount_mode(Mode m) {
        SDLM_ASSERT(count[static_cast<std::size_t>(m)] > 0);
        if (--count[static_cast<std::size_t>(m)] == 0) modes = static_cast<std::uint8_t>(modes & ~mode_bit(m));
    }
    std::uint8_t modes_without(const Lock& l) const {
        if (!l.has_granted || count[static_cast<std::size_t>(l.granted)] > 1) return modes;
        return static_cast<std::uint8_t>(modes & ~mode_bit(l.granted));
    }
    Mode used() const { return reserve != nullptr ? locks::join(join_of(modes), reserve->wanted) : join_of(modes); }
};

}  // namespace sdlm::dlm
