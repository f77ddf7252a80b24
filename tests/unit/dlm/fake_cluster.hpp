// SPDX-License-Identifier: LGPL-2.1-or-later
// Lock ports of a few nodes with one mind: no disk, no time. It arbitrates as locks/PROTOCOL.md says - tickets,
// conversions first, idle modes given up, values kept while some node needs the resource - and checks the border's
// rules on the way.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "disk/base/prng.hpp"
#include "locks/core/lock_port.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::dlm::test {

using locks::Demand;
using locks::Handle;
using locks::Lvb;
using locks::Mode;

class FakeCluster {
public:
    enum class Caching : std::uint8_t {
        everything,     // the node holds EX of all that it opens, from the start (one node only)
        normal,         // idle modes stay until somebody wants them
        nothing,        // idle modes go at once
    };
    explicit FakeCluster(std::size_t node_count, Caching caching = Caching::normal, std::uint64_t seed = 1);
    ~FakeCluster();
    locks::LockPort& port(std::size_t node);

    // Until nothing changes any more. False: it did not come to rest.
    bool pump();
    // One random step of one node; false when it had nothing to do.
    bool step();
    // The node is gone, at once; what it held for writing becomes not valid.
    void kill(std::size_t node);

    std::size_t open_count(std::size_t node) const;
    std::uint64_t demands = 0;          // set_demand calls, all nodes
    bool refuse_open = false;           // open() says no_space
    bool refuse_wants = false;          // wants end with no_space

private:
    struct Port;
    struct Stake {
        bool open = false;
        Handle handle = locks::no_handle;
        Demand demand;
        Mode held = Mode::NL;
        Mode blocked = Mode::NL;
        std::uint64_t ticket = 0;       // of the want; 0: none yet
        bool dirty = false;
        Lvb written;
    };
    struct Shared {
        disk::ResourceKey key;
        std::map<std::size_t, Stake> stakes;   // by node
        Lvb value;
    };
    bool evaluate(Shared& s, std::size_t node);
    bool lower_idle(Shared& s, std::size_t node);
    bool announce(Shared& s, std::size_t node);
    bool decide(Shared& s, std::size_t node);
    void forget_value(Shared& s);
    void lower(Shared& s, Stake& stake, Mode to);
    Shared& shared(std::size_t node, Handle handle);

    Caching caching_;
    Prng random_;
    std::vector<std::unique_ptr<Port>> ports_;
    std::map<disk::ResourceKey, Shared> resources_;
    std::map<Handle, disk::ResourceKey> handles_;
    Handle last_handle_ = 0;
    std::uint64_t tickets_ = 0;
    std::uint64_t versions_ = 0;
};

}  // namespace sdlm::dlm::test
