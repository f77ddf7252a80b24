// SPDX-License-Identifier: LGPL-2.1-or-later
// Opens, descriptors, events and ends, through the whole tree.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>

#include "fs/namespace_model.hpp"
#include "tests/unit/fs/fake_port.hpp"

namespace sdlm::fs::test {

constexpr OpenMode read_lock{.level = Mode::PR, .nonblock = false};
constexpr OpenMode write_lock{.level = Mode::EX, .nonblock = false};

class OpensTest : public testing::Test {
protected:
    OpensTest() {
        domain = model.make_directory(root_ino, "d", creation(0755)).value.ino;
        lock = model.make_node(domain, "lock", creation(S_IFREG | 0600)).value.ino;
        handle = port.locks.begin()->first;
    }
    static Creation creation(mode_t mode) { return {.mode = mode, .uid = 0, .gid = 0, .now = 1}; }
    void hold(OpenId id, OpenMode mode) {
        EXPECT_EQ(model.open(lock, id, mode), 0);
        model.granted(handle, port.grant(handle));
        EXPECT_EQ(model.take_effects().answers, (std::vector<OpenAnswer>{{id, 0}}));
    }

    NoEvents events;
    FakePort port;
    NamespaceModel model{port, events, creation(0755)};
    Ino domain = 0, lock = 0;
    Handle handle = 0;
};

TEST_F(OpensTest, UnlinkIsBusyWhileOpenOrWaiting) {
    EXPECT_EQ(model.open(lock, 1, read_lock), 0);
    EXPECT_TRUE(model.waiting(1));
    EXPECT_EQ(model.remove_file(domain, "lock", 2), EBUSY);
    model.granted(handle, port.grant(handle));
    EXPECT_FALSE(model.waiting(1));
    EXPECT_EQ(model.remove_file(domain, "lock", 2), EBUSY);
    model.release(1);
    EXPECT_EQ(model.remove_file(domain, "lock", 2), 0);
    EXPECT_TRUE(port.locks.empty()) << "the lock resource goes with the name";
}

TEST_F(OpensTest, WithdrawnAndRefusedOpensAreForgotten) {
    EXPECT_EQ(model.open(lock, 1, write_lock), 0);
    EXPECT_EQ(model.status().waiting_opens, 1U);
    EXPECT_TRUE(model.withdraw(1));
    EXPECT_FALSE(model.withdraw(1));
    EXPECT_EQ(model.open(lock, 2, {.level = Mode::EX, .nonblock = true}), 0);
    port.only().demand.want.reset();
    model.refused(handle, locks::Refusal::would_block);
    EXPECT_EQ(model.take_effects().answers, (std::vector<OpenAnswer>{{2, ETXTBSY}}));
    EXPECT_EQ(model.status().waiting_opens, 0U);
    EXPECT_EQ(model.status().descriptors, 0U);
    EXPECT_EQ(model.remove_file(domain, "lock", 2), 0);
}

TEST_F(OpensTest, OpeningADirectoryOrNothing) {
    EXPECT_EQ(model.open(domain, 1, read_lock), EISDIR);
    EXPECT_EQ(model.open(4711, 1, read_lock), ENOENT);
}

TEST_F(OpensTest, PollShowsTheMarkOnEveryDescriptor) {
    hold(1, write_lock);
    EXPECT_EQ(model.open(lock, 2, read_lock), 0);
    EXPECT_EQ(model.poll_events(1), 0U);
    model.blocked(handle, Mode::EX);
    EXPECT_EQ(model.take_effects().wakes, (std::vector<OpenId>{1, 2}));
    EXPECT_EQ(model.poll_events(1), std::uint32_t{POLLIN | POLLRDNORM});
    EXPECT_EQ(model.poll_events(2), std::uint32_t{POLLIN | POLLRDNORM});
    model.blocked(handle, Mode::NL);
    EXPECT_EQ(model.poll_events(1), 0U);
}

TEST_F(OpensTest, LeaseLostFailsEverythingButCleaningUp) {
    hold(1, write_lock);
    const Ino second = model.make_node(domain, "second", creation(S_IFREG | 0600)).value.ino;
    EXPECT_EQ(model.open(second, 2, read_lock), 0);
    model.lease_lost();
    Effects due = model.take_effects();
    EXPECT_EQ(due.answers, (std::vector<OpenAnswer>{{2, EIO}}));
    EXPECT_EQ(due.wakes, (std::vector<OpenId>{1}));
    EXPECT_EQ(model.poll_events(1), std::uint32_t{POLLERR | POLLHUP});
    std::array<std::byte, 4> bytes{};
    EXPECT_EQ(model.read(1, 0, bytes).error, EIO);
    EXPECT_EQ(model.write(1, 0, bytes).error, EIO);
    EXPECT_EQ(model.open(lock, 3, read_lock), EIO);
    EXPECT_EQ(model.make_node(domain, "x", creation(S_IFREG | 0600)).error, EIO);
    EXPECT_EQ(model.make_directory(root_ino, "x", creation(0755)).error, EIO);
    model.lease_lost();
    const std::size_t handles = port.locks.size();
    model.release(1);
    EXPECT_EQ(model.remove_file(domain, "lock", 2), 0);
    EXPECT_EQ(model.remove_file(domain, "second", 2), 0);
    EXPECT_EQ(model.remove_directory(root_ino, "d", 2), 0);
    EXPECT_EQ(port.locks.size(), handles) << "a dead node is asked nothing";
    model.shut_down();
}

TEST_F(OpensTest, ShutDownAnswersDropsAndLeaves) {
    hold(1, read_lock);
    EXPECT_EQ(model.open(lock, 2, write_lock), 0);
    EXPECT_EQ(model.make_directory(root_ino, "empty", creation(0755)).error, 0);
    model.shut_down();
    EXPECT_EQ(model.take_effects().answers, (std::vector<OpenAnswer>{{2, EIO}}));
    EXPECT_TRUE(port.locks.empty());
    EXPECT_TRUE(port.joined.empty());
    model.granted(handle, Mode::EX);
    model.blocked(handle, Mode::EX);
    EXPECT_TRUE(model.take_effects().answers.empty());
}

TEST_F(OpensTest, WaitingOpensAreBounded) {
    OpenId id = 0;
    while (id < waiting_opens_max) ASSERT_EQ(model.open(lock, ++id, write_lock), 0);
    EXPECT_EQ(model.open(lock, id + 1, write_lock), ENFILE);
    EXPECT_TRUE(model.withdraw(1));
    EXPECT_EQ(model.open(lock, id + 1, write_lock), 0);
}

}  // namespace sdlm::fs::test
