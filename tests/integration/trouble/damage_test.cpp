// SPDX-License-Identifier: LGPL-2.1-or-later
// Blocks that are damaged where they lie, a shrunken image, another volume in the disk's place.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

#include "troubled_nodes.hpp"

namespace sdlm {
namespace {

class Damage : public TroubledNodes {
protected:
    // What lies in an image now.
    static std::string content(const std::string& image, std::uint64_t at, std::size_t bytes) {
        std::string text(bytes, '\0');
        const int fd = ::open(image.c_str(), O_RDONLY | O_CLOEXEC);
        const ssize_t n = ::pread(fd, text.data(), bytes, static_cast<off_t>(at));
        ::close(fd);
        if (n != static_cast<ssize_t>(bytes)) throw std::runtime_error("cannot read " + image);
        return text;
    }
    void overwrite(std::uint64_t at, std::size_t bytes) const {
        const std::string text(bytes, '\x5a');
        const int fd = ::open(backing_.c_str(), O_WRONLY | O_CLOEXEC);
        const ssize_t n = ::pwrite(fd, text.data(), bytes, static_cast<off_t>(at));
        ::close(fd);
        if (n != static_cast<ssize_t>(bytes)) throw std::runtime_error("cannot write " + backing_);
    }
    // Names cost a record each: more than a slot takes go to the journal.
    void make_names(unsigned node, unsigned from, unsigned to) const {
        for (unsigned i = from; i < to; ++i)
            ASSERT_EQ(::mknod(file(node, "name-" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
    }
    void remove_names(unsigned node, unsigned from, unsigned to) const {
        for (unsigned i = from; i < to; ++i)
            ASSERT_EQ(::unlink(file(node, "name-" + std::to_string(i)).c_str()), 0);
    }
    bool wait_ring_used(unsigned node) {
        for (int i = 0; i < 300; ++i) {
            if (status(node).at("ring_used").get<unsigned>() > 0) return true;
            ::usleep(20'000);
        }
        return false;
    }
};

INSTANTIATE_TEST_SUITE_P(Trouble, Damage, testing::Values(View::file, View::loop), view_name);

TEST_P(Damage, TheOwnSlotIsWrittenAgain) {
    for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    LockUser holder(file(0, "lock"));
    ASSERT_TRUE(holder.wait_granted());
    // A heartbeat may repair it before anybody looks.
    for (int i = 0; i < 100 && counter(0, "defended") == 0; ++i) overwrite(slot_at(0), block);
    EXPECT_TRUE(wait_counter(0, "defended"));
    EXPECT_TRUE(holder.healthy());
    EXPECT_TRUE(works(0) && works(1));
    EXPECT_EQ(counter(1, "evictions"), 0U);
}

// Nobody is dead because one node cannot read its slot.
TEST_P(Damage, APeersSlotThatCannotBeReadStopsNobodyForGood) {
    for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    LockUser holder(file(0, "lock"));
    ASSERT_TRUE(holder.wait_granted());
    disk(1).inject("corrupt" + in_slot(0));
    EXPECT_TRUE(wait_counter(1, "bad_blocks"));
    pass_ms(bound_ms(0));
    EXPECT_TRUE(works(0));
    LockUser waiter(file(1, "lock"));
    disk(1).clear();
    EXPECT_TRUE(holder.wait_blocked());
    EXPECT_TRUE(holder.healthy());
    EXPECT_FALSE(waiter.granted());
    holder.release();
    EXPECT_TRUE(waiter.wait_granted());
    EXPECT_EQ(counter(1, "evictions"), 0U);
}

TEST_P(Damage, AJoinerWaitsForAJournalThatItCannotRead) {
    ASSERT_NO_FATAL_FAILURE(start(0));
    ASSERT_NO_FATAL_FAILURE(make_names(0, 0, 60));
    ASSERT_TRUE(wait_ring_used(0));
    LockUser holder(file(0, "lock"));
    ASSERT_TRUE(holder.wait_granted());
    ASSERT_NO_FATAL_FAILURE(start(1));
    stop(1);
    disk(1).inject("corrupt" + in_area(0));
    launch(1);
    EXPECT_TRUE(wait_counter(1, "bad_pages", 10));
    pass_ms(bound_ms(0));
    EXPECT_EQ(status(1).at("state"), "claiming");
    disk(1).clear();
    ASSERT_NO_FATAL_FAILURE(become_live(1));
    EXPECT_TRUE(holder.healthy());
    EXPECT_TRUE(works(1));
}

// The owner does not read its journal: what it writes anew brings the joiner past the bad block.
TEST_P(Damage, ABadBlockOfAJournalGoesWithTheNextRound) {
    ASSERT_NO_FATAL_FAILURE(start(0));
    ASSERT_NO_FATAL_FAILURE(start(1));
    ASSERT_NO_FATAL_FAILURE(make_names(0, 0, 60));
    ASSERT_TRUE(wait_ring_used(0));
    EXPECT_TRUE(works(1));      // has read it
    overwrite(area_at(0) + page, page);
    EXPECT_TRUE(works(0) && works(1));
    launch(2);
    EXPECT_TRUE(wait_counter(2, "bad_pages", 10));
    EXPECT_EQ(status(2).at("state"), "claiming");
    for (int round = 0; round < 2000 && status(2).at("state") == "claiming"; ++round) {
        ASSERT_NO_FATAL_FAILURE(make_names(0, 1000, 1020));
        ASSERT_NO_FATAL_FAILURE(remove_names(0, 1000, 1020));
    }
    ASSERT_NO_FATAL_FAILURE(become_live(2));
    EXPECT_TRUE(works(0) && works(1));
}

TEST_P(Damage, TheBackupServesWhenTheSuperblockIsBad) {
    ASSERT_NO_FATAL_FAILURE(start(0));
    overwrite(0, page);
    EXPECT_TRUE(works(0));
    ASSERT_NO_FATAL_FAILURE(start(1));
    EXPECT_NE(daemon(1).err().find("using the backup"), std::string::npos) << daemon(1).err();
    EXPECT_TRUE(works(1));
    stop(1);
    overwrite(image_bytes - page, page);
    launch(1);
    EXPECT_EQ(daemon(1).wait().code, 1);
    EXPECT_NE(daemon(1).err().find("check the device's name"), std::string::npos) << daemon(1).err();
    EXPECT_TRUE(works(0));
}

TEST_P(Damage, AnImageThatShrinksUnderItsNodeEndsIt) {
    for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    LockUser holder(file(0, "lock"));
    ASSERT_TRUE(holder.wait_granted());
    disk(0).truncate(slots_at);
    LockUser waiter(file(1, "lock"));
    EXPECT_TRUE(holder.wait_told());
    EXPECT_TRUE(wait_lost(0));
    EXPECT_TRUE(waiter.wait_granted());
    EXPECT_LT(holder.told_ns(), waiter.granted_ns());
}

// A node must not take its own slot in another volume for a heartbeat: two would hold the lock.
TEST_P(Damage, AnotherVolumeInTheDisksPlaceEndsItsNode) {
    for (const unsigned node : {0U, 1U}) ASSERT_NO_FATAL_FAILURE(start(node));
    LockUser holder(file(0, "lock"));
    ASSERT_TRUE(holder.wait_granted());
    const std::string foreign = dir_.make_file("foreign", image_bytes);
    format(foreign);
    const std::string before = content(foreign, 0, image_bytes);
    disk(0).swap(foreign);
    LockUser waiter(file(1, "lock"));
    EXPECT_TRUE(holder.wait_told());
    EXPECT_TRUE(wait_lost(0));
    EXPECT_TRUE(waiter.wait_granted());
    EXPECT_LT(holder.told_ns(), waiter.granted_ns());
    const std::string after = content(foreign, 0, image_bytes);
    std::size_t changed = 0;
    for (std::size_t i = 0; i < after.size(); i += block)
        if (after.compare(i, block, before, i, block) != 0) ++changed;
    EXPECT_LE(changed, 1U);      // the write that was under way
}

}  // namespace
}  // namespace sdlm
