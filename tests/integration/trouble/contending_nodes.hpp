// SPDX-License-Identifier: LGPL-2.1-or-later
// Two nodes and a lock that both want: node 0 has it, node 1 waits for it.
#pragma once
#include "troubled_nodes.hpp"

namespace sdlm {

class ContendingNodes : public TroubledNodes {
protected:
    void SetUp() override {
        TroubledNodes::SetUp();
        if (IsSkipped()) return;
        for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    }
    void contend() {
        holder_ = std::make_unique<LockUser>(file(0, "contended"));
        ASSERT_TRUE(holder_->wait_granted());
        waiter_ = std::make_unique<LockUser>(file(1, "contended"));
        ASSERT_TRUE(holder_->wait_blocked());
    }
    // Everything goes on as if nothing had happened.
    void expect_all_is_well() {
        EXPECT_TRUE(holder_->healthy());
        EXPECT_FALSE(waiter_->granted());
        for (const unsigned node : {0U, 1U}) {
            EXPECT_FALSE(lost(node));
            EXPECT_EQ(counter(node, "evictions"), 0U);
            EXPECT_TRUE(works(node));
        }
        holder_->release();
        EXPECT_TRUE(waiter_->wait_granted());
    }
    std::unique_ptr<LockUser> holder_, waiter_;
};

}  // namespace sdlm
