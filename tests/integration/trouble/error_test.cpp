// SPDX-License-Identifier: LGPL-2.1-or-later
// A disk that answers, but wrongly: errors, writes that lie, a device that is gone.
#include <unistd.h>

#include "contending_nodes.hpp"

namespace sdlm {
namespace {

class DiskErrors : public ContendingNodes {
protected:
    void SetUp() override {
        ASSERT_NO_FATAL_FAILURE(ContendingNodes::SetUp());
        if (!IsSkipped()) contend();
    }
    // Node 0 is out, its program knows, and node 1 has what it held.
    void expect_take_over() {
        EXPECT_TRUE(holder_->wait_told());
        EXPECT_TRUE(wait_lost(0));
        ASSERT_TRUE(waiter_->wait_granted());
        EXPECT_LT(holder_->told_ns(), waiter_->granted_ns());
        EXPECT_EQ(counter(1, "evictions"), 1U);
        EXPECT_TRUE(works(1));
    }
};

INSTANTIATE_TEST_SUITE_P(Trouble, DiskErrors, testing::Values(View::file, View::loop), view_name);

TEST_P(DiskErrors, AWriteThatFailsIsWrittenAgain) {
    const unsigned rule = disk(0).inject("fail on=writes count=5");
    EXPECT_TRUE(wait_counter(0, "write_errors", 5));
    EXPECT_EQ(disk(0).hits(rule), 5U);
    expect_all_is_well();
}

TEST_P(DiskErrors, AWriteThatFailsAndLandsIsWrittenAgain) {
    disk(0).inject("fail_landed count=5 error=ETIMEDOUT");
    EXPECT_TRUE(wait_counter(0, "write_errors", 5));
    expect_all_is_well();
}

TEST_P(DiskErrors, AReadThatFailsIsRepeated) {
    disk(0).inject("fail on=reads count=5" + in_slots());
    EXPECT_TRUE(wait_counter(0, "read_errors", 5));
    expect_all_is_well();
}

TEST_P(DiskErrors, WhoCannotReadForLongEvictsNobody) {
    disk(1).inject("fail on=reads" + in_slots());
    pass_ms(bound_ms(0));
    EXPECT_GT(counter(1, "read_errors"), 0U);
    disk(1).clear();
    expect_all_is_well();
}

TEST_P(DiskErrors, WritesThatFailForTheWholeLeaseEndIt) {
    disk(0).inject("fail on=writes error=ENOSPC");
    expect_take_over();
    EXPECT_GT(counter(0, "write_errors"), 0U);
}

TEST_P(DiskErrors, ADeviceThatVanishesEndsItsNode) {
    disk(0).vanish();
    expect_take_over();
}

TEST_P(DiskErrors, AWriteThatDidNotLandIsFound) {
    disk(0).inject("drop count=1" + in_slot(0));
    EXPECT_TRUE(wait_counter(0, "defended"));
    expect_all_is_well();
}

TEST_P(DiskErrors, AWriteIntoThePeersSlotIsFoundByBoth) {
    disk(0).inject("misdirect count=1 by=" + std::to_string(block) + in_slot(0));
    EXPECT_TRUE(wait_counter(0, "defended"));
    EXPECT_TRUE(wait_counter(1, "defended"));
    EXPECT_TRUE(wait_counter(1, "misplaced_blocks"));
    expect_all_is_well();
}

// Failed reads are told once, and a log that is full holds nobody up.
TEST_P(DiskErrors, ALogThatNobodyReadsStopsNobody) {
    disk(1).inject("fail on=reads" + in_slots());
    ::usleep(4 * lease_ms * 1000);
    EXPECT_TRUE(holder_->healthy());
    EXPECT_FALSE(lost(1));
    EXPECT_EQ(counter(0, "evictions"), 0U);
    EXPECT_LT(daemon(1).err().size(), 10'000U);
}

// Its own read of the disk, for the names, must not keep it from ending.
TEST_P(DiskErrors, StatusIsToldWhileTheDiskHangs) {
    disk(0).inject("hang");
    EXPECT_TRUE(wait_hung(0));
    test::ChildProcess tool({SDLM_PROGRAM, "--run-dir", dir_.file("run-0"), "status"});
    EXPECT_TRUE(tool.wait(15'000).exited);
    disk(0).clear();
    expect_all_is_well();
}

TEST_P(DiskErrors, ASlowDiskIsSlow) {
    disk(0).inject("delay ms=" + std::to_string(heartbeat_ms * 2));
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(works(0));
    EXPECT_GE(status(0).at("write_latency_us").get<unsigned>(), heartbeat_ms * 1000);
    disk(0).clear();
    expect_all_is_well();
}

}  // namespace
}  // namespace sdlm
