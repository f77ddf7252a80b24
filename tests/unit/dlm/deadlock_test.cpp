// SPDX-License-Identifier: LGPL-2.1-or-later
// Cycles of waits over several resources: inside one node, and over two.
#include <memory>

#include "../locks/memory_cluster.hpp"
#include "fixture.hpp"

namespace sdlm::dlm::test {
namespace {

class Deadlocks : public ::testing::Test {
protected:
    struct Client {
        NodeIndex node;
        OwnerId owner;
    };
    Deadlocks() {
        for (NodeIndex n = 0; n < 2; ++n) {
            node::NodeCore& core = cluster.start(n);
            EXPECT_TRUE(cluster.run_until([&] { return cluster.live(n); }));
            spaces[n] = std::make_unique<Lockspace>(core, "dl", n + 1U);
            EXPECT_TRUE(spaces[n]->join().has_value());
            spaces[n]->search_deadlocks();
        }
    }
    Client client(NodeIndex n) { return {n, spaces[n]->add_owner(++process)}; }
    LockId lock(const Client& c, const char* name, std::uint32_t flags = 0) {
        LockCall call = Node::request(Mode::EX, flags, name);
        call.owner = c.owner;
        const LockResult result = spaces[c.node]->lock(call, cluster.now());
        EXPECT_EQ(result.error, 0);
        return result.id;
    }
    // Status of the lock's completion within `limit`; -1: none came.
    int status(const Client& c, LockId id, Duration limit = milliseconds(5000)) {
        const Instant end = cluster.now() + limit;
        for (;;) {
            spaces[c.node]->expire(cluster.now());
            for (const Callback& callback : spaces[c.node]->callbacks())
                if (callback.kind == Callback::Kind::completion) done[{c.node, callback.id}] = callback.status;
            spaces[c.node]->callbacks().clear();
            const auto found = done.find({c.node, id});
            if (found != done.end()) return found->second;
            if (cluster.now() >= end) return -1;
            for (auto& space : spaces) space->expire(cluster.now());
            cluster.run(milliseconds(5));
        }
    }
    node::MemoryCluster cluster;
    std::unique_ptr<Lockspace> spaces[2];
    std::map<std::pair<NodeIndex, LockId>, int> done;
    std::uint32_t process = 0;
};

TEST_F(Deadlocks, the_youngest_of_a_cycle_inside_one_node_gives_up) {
    const Client p = client(0), q = client(0);
    EXPECT_EQ(status(p, lock(p, "a")), 0);
    EXPECT_EQ(status(q, lock(q, "b")), 0);
    const LockId pb = lock(p, "b"), qa = lock(q, "a");
    EXPECT_EQ(status(q, qa, cluster.timing.heartbeat * 2), EDEADLK);
    EXPECT_EQ(status(p, pb, cluster.timing.heartbeat * 2), -1);
}

TEST_F(Deadlocks, one_with_nodlckblk_is_spared) {
    const Client p = client(0), q = client(0);
    EXPECT_EQ(status(p, lock(p, "a")), 0);
    EXPECT_EQ(status(q, lock(q, "b")), 0);
    const LockId pb = lock(p, "b"), qa = lock(q, "a", lkf::nodlckblk);
    EXPECT_EQ(status(p, pb, cluster.timing.heartbeat * 2), EDEADLK);
    EXPECT_EQ(status(q, qa, cluster.timing.heartbeat * 2), -1);
}

TEST_F(Deadlocks, a_cycle_over_two_nodes_is_found_within_two_heartbeats) {
    const Client p = client(0), q = client(1);
    EXPECT_EQ(status(p, lock(p, "a")), 0);
    EXPECT_EQ(status(q, lock(q, "b")), 0);
    const LockId pb = lock(p, "b");
    cluster.run(milliseconds(50));
    const LockId qa = lock(q, "a");
    EXPECT_EQ(status(q, qa, cluster.timing.heartbeat * 2), EDEADLK);
    EXPECT_EQ(status(p, pb, cluster.timing.heartbeat * 4), -1);
}

// p (node 0) holds a and waits for b of q (node 1), who waits for c of r (node 1), who waits for a: half of the way is inside node 1.
TEST_F(Deadlocks, the_way_may_lead_through_several_locks_of_a_node) {
    const Client p = client(0), q = client(1), r = client(1);
    EXPECT_EQ(status(p, lock(p, "a")), 0);
    EXPECT_EQ(status(q, lock(q, "b")), 0);
    EXPECT_EQ(status(r, lock(r, "c")), 0);
    const LockId pb = lock(p, "b");
    cluster.run(milliseconds(50));
    const LockId qc = lock(q, "c");
    cluster.run(milliseconds(50));
    const LockId ra = lock(r, "a");
    EXPECT_EQ(status(r, ra, cluster.timing.heartbeat * 3), EDEADLK);
    EXPECT_EQ(status(p, pb, cluster.timing.heartbeat * 2), -1);
    EXPECT_EQ(status(q, qc, cluster.timing.heartbeat * 2), -1);
}

TEST_F(Deadlocks, waiting_in_one_line_is_no_deadlock) {
    const Client p = client(0), q = client(0), r = client(1);
    EXPECT_EQ(status(p, lock(p, "a")), 0);
    const LockId qa = lock(q, "a"), ra = lock(r, "a");
    EXPECT_EQ(status(q, qa, cluster.timing.heartbeat * 4), -1);
    EXPECT_EQ(status(r, ra, cluster.timing.heartbeat * 4), -1);
}

}  // namespace
}  // namespace sdlm::dlm::test
