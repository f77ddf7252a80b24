// SPDX-License-Identifier: LGPL-2.1-or-later
// SEMANTICS 7, OBSERVED 36: the ends of programs; orphans; and programs that misbehave.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "disk/base/prng.hpp"
#include "locks/wire/request_ring.hpp"
#include "tests/integration/libdlm/nodes.hpp"
#include "tests/integration/libdlm/program.hpp"

namespace sdlm {
namespace {

class DeathRows : public NodesWithLockspace {
protected:
    // A process that takes a lock and is killed.
    void killed_holder(int mode, unsigned flags) {
        Signal held;
        Program program([&] {
            dlm_lshandle_t own = threaded().open("rows");
            Held lock;
            if (status_of(own, lock, mode, flags) != 0) return 1;
            held.give();
            ::pause();
            return 0;
        });
        ASSERT_TRUE(held.take());
        program.kill(SIGKILL);
        EXPECT_EQ(program.wait(), -SIGKILL);
    }
    std::size_t descriptors() {
        std::size_t found = 0;
        test::ChildProcess list({"ls", "/proc/" + std::to_string(daemon(0).pid()) + "/fd"});
        list.wait();
        for (const char c : list.out()) found += c == '\n';
        return found;
    }
    int raw_connect(const std::string& path) const {
        const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        const void* where = &address;
        if (::connect(fd, static_cast<const sockaddr*>(where), sizeof address) == 0) return fd;
        ::close(fd);
        return -1;
    }
    // Connected and greeted, with the callback descriptor and the ring.
    struct RawClient {
        int requests = -1, callbacks = -1, ring_fd = -1;
        void* ring = MAP_FAILED;
        wire::RingHeader& header() const { return *static_cast<wire::RingHeader*>(ring); }
        std::byte* bytes() const { return static_cast<std::byte*>(ring) + wire::ring_offset; }
        void close() {
            for (int* fd : {&requests, &callbacks, &ring_fd}) {
                if (*fd >= 0) ::close(*fd);
                *fd = -1;
            }
            if (ring != MAP_FAILED) ::munmap(ring, wire::ring_mapping_bytes);
            ring = MAP_FAILED;
        }
        ~RawClient() { close(); }
    };
    bool greet(RawClient& client) const {
        client.requests = raw_connect(run_dir(0) + "/dlm/ls.rows");
        if (client.requests < 0) return false;
        wire::Packet packet;
        wire::encode(wire::Message(wire::Hello{}), packet);
        ::send(client.requests, packet.bytes.data(), packet.size, MSG_NOSIGNAL);
        int passed[2];
        char buffer[256];
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)];
        iovec part{buffer, sizeof buffer};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        if (::recvmsg(client.requests, &header, 0) <= 0) return false;
        const cmsghdr* c = CMSG_FIRSTHDR(&header);
        if (c == nullptr || c->cmsg_len != CMSG_LEN(sizeof passed)) return false;
        std::memcpy(passed, CMSG_DATA(c), sizeof passed);
        client.callbacks = passed[0];
        client.ring_fd = passed[1];
        client.ring = ::mmap(nullptr, wire::ring_mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, passed[1], 0);
        return client.ring != MAP_FAILED;
    }
    static void encode_request(std::uint32_t flags, wire::Packet& packet) {
        wire::Lock request;
        request.flags = flags;
        request.cookies = {1, 0, 0, 1};
        wire::encode(request, packet);
    }
    static void send_doorbell(const RawClient& client) {
        wire::Packet packet;
        wire::encode(wire::Message(wire::Doorbell{}), packet);
        (void)::send(client.requests, packet.bytes.data(), packet.size, MSG_NOSIGNAL);
    }
    static bool hung_up(int fd) {
        pollfd p{fd, 0, 0};
        return ::poll(&p, 1, 20'000) == 1 && (p.revents & POLLHUP) != 0;
    }
    void expect_service() {
        Held held;
        EXPECT_EQ(status_of(ls_, held, LKM_EXMODE, LKF_NOQUEUE, "still served"), 0);
        EXPECT_EQ(unlock_status(ls_, held), EUNLOCK);
    }
};

TEST_F(DeathRows, AKilledHolderFreesItsLocksAndMarksTheValue) {
    Held keeper, held;
    ASSERT_EQ(status_of(ls_, keeper, LKM_NLMODE, LKF_VALBLK), 0);
    for (const int mode : {LKM_PRMODE, LKM_PWMODE, LKM_EXMODE}) {
        killed_holder(mode, 0);
        EXPECT_EQ(status_of(ls_, held, LKM_EXMODE, LKF_VALBLK), 0);
        EXPECT_EQ(held.lksb.sb_flags, mode == LKM_PRMODE ? 0 : DLM_SBF_VALNOTVALID) << mode;
        ASSERT_EQ(convert_status(ls_, held, LKM_NLMODE, LKF_VALBLK), 0);       // writes: valid again
        ASSERT_EQ(unlock_status(ls_, held), EUNLOCK);
    }
}

TEST_F(DeathRows, AKilledWaiterIsForgotten) {
    Held holder, next;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    {
        Program waiter([&] {
            dlm_lshandle_t own = threaded().open("rows");
            Held lock;
            if (Nodes::lock(own, lock, LKM_EXMODE, 0) != 0) return 1;
            ::pause();
            return 0;
        });
        while (count("locks") != 2) std::this_thread::yield();
    }
    while (count("locks") != 1) std::this_thread::yield();
    ASSERT_EQ(lock(ls_, next, LKM_EXMODE, 0), 0);
    ASSERT_EQ(unlock(ls_, holder), 0);
    EXPECT_TRUE(until(ls_, [&] { return next.asts == 1; }));
}

TEST_F(DeathRows, OrphansBlockUntilAdopted) {
    killed_holder(LKM_EXMODE, LKF_PERSISTENT);
    Held other, adopter;
    while (count("handles") != 1) std::this_thread::yield();
    EXPECT_EQ(status_of(ls_, other, LKM_PRMODE, LKF_NOQUEUE), EAGAIN);
    EXPECT_EQ(lock(ls_, adopter, LKM_PRMODE, LKF_ORPHAN), EAGAIN) << "another mode";
    EXPECT_EQ(lock(ls_, adopter, LKM_EXMODE, LKF_ORPHAN, "nothing"), ENOENT);
    ASSERT_EQ(lock(ls_, adopter, LKM_EXMODE, LKF_ORPHAN), 0);
    EXPECT_EQ(adopter.lksb.sb_status, 0) << "nothing more will be told";
    EXPECT_NE(adopter.lksb.sb_lkid, 0U);
    EXPECT_FALSE(readable(ls_, 100));
    // Its own lock now, and no longer persistent.
    EXPECT_EQ(convert_status(ls_, adopter, LKM_PRMODE), 0);
    EXPECT_EQ(status_of(ls_, other, LKM_PRMODE, LKF_NOQUEUE), 0);
    EXPECT_EQ(unlock_status(ls_, adopter), EUNLOCK);
}

TEST_F(DeathRows, AdoptionByAWaitingCallReturnsAtOnce) {
    killed_holder(LKM_EXMODE, LKF_PERSISTENT);
    while (count("handles") != 1) std::this_thread::yield();
    struct dlm_lksb lksb {};
    EXPECT_EQ(threaded().lock_wait(ls_, LKM_EXMODE, &lksb, LKF_ORPHAN, "resource", 8, 0, nullptr, nullptr, nullptr), 0);
    EXPECT_EQ(lksb.sb_status, 0);
    EXPECT_EQ(threaded().unlock_wait(ls_, lksb.sb_lkid, 0, &lksb), 0);
    EXPECT_EQ(lksb.sb_status, EUNLOCK);
}

TEST_F(DeathRows, OrphansArePurged) {
    killed_holder(LKM_EXMODE, LKF_PERSISTENT);
    while (count("handles") != 1) std::this_thread::yield();
    EXPECT_EQ(count("locks"), 1U);
    EXPECT_EQ(threaded().purge(ls_, 0, 0), 0);
    EXPECT_EQ(count("locks"), 0U);
}

// A lock that was asked for counts, whatever becomes of the program right after: also when the daemon sees the end
// first.
TEST_F(DeathRows, PersistentLocksOutliveAProgramThatDidNotWait) {
    constexpr unsigned many = 200;
    Held before;
    ASSERT_EQ(status_of(ls_, before, LKM_EXMODE, 0), 0);   // the node has it: the next grants are at once
    ASSERT_EQ(unlock_status(ls_, before), EUNLOCK);
    for (unsigned round = 1; round <= 5; ++round) {
        Program program([] {
            dlm_lshandle_t own = threaded().open("rows");
            std::vector<Held> held(many);
            for (Held& one : held)
                if (Nodes::lock(own, one, LKM_NLMODE, LKF_PERSISTENT | LKF_EXPEDITE) != 0) return 1;
            return 0;
        });
        EXPECT_EQ(program.wait(), 0);
        while (count("handles") != 1) std::this_thread::yield();
        ASSERT_EQ(count("locks"), round * many);
    }
}

// 300 programs killed at a random moment of their locking; SDLM_TEST_KILLS asks for more.
TEST_F(DeathRows, RandomKillsLeaveNothingBehind) {
    const char* asked = std::getenv("SDLM_TEST_KILLS");
    const unsigned kills = asked != nullptr ? static_cast<unsigned>(std::atoi(asked)) : 300;
    Prng random(7);
    expect_service();
    const std::size_t descriptors_before = descriptors();
    for (unsigned i = 0; i < kills; ++i) {
        const std::uint64_t seed = random.next();
        Program program([seed] {
            Prng own_random(seed);
            dlm_lshandle_t own = threaded().open("rows");
            std::vector<Held> held(8);
            for (;;) {
                Held& one = held[own_random.below(held.size())];
                const std::string name = "kill" + std::to_string(own_random.below(4));
                const auto flags = own_random.one_in(4) ? LKF_NOQUEUE : own_random.one_in(4) ? LKF_VALBLK : 0;
                if (one.lksb.sb_status == EINPROG) (void)unlock(own, one, LKF_CANCEL);
                else if (one.lksb.sb_lkid != 0 && own_random.one_in(2)) (void)unlock(own, one);
                else if (one.lksb.sb_lkid != 0 && own_random.one_in(2))
                    (void)convert(own, one, static_cast<int>(own_random.below(6)));
                else (void)lock(own, one, static_cast<int>(own_random.below(6)), static_cast<unsigned>(flags), name);
                if (own_random.one_in(4)) threaded().dispatch(threaded().get_fd(own));
            }
            return 0;
        });
        // From before its first call to well into its work.
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(6000)));
        program.kill(SIGKILL);
        ASSERT_EQ(program.wait(), -SIGKILL) << "seed " << seed;
    }
    while (count("handles") != 1) std::this_thread::yield();
    EXPECT_EQ(count("locks"), 0U);
    EXPECT_EQ(descriptors(), descriptors_before);
    expect_service();
    for (unsigned i = 0; i < 4; ++i) {
        Held held;
        EXPECT_EQ(status_of(ls_, held, LKM_EXMODE, LKF_NOQUEUE, "kill" + std::to_string(i)), 0);
    }
}

TEST_F(DeathRows, GarbageSendersAreDisconnected) {
    Prng random(11);
    const std::string control = run_dir(0) + "/dlm.sock", lockspace = run_dir(0) + "/dlm/ls.rows";
    for (unsigned round = 0; round < 200; ++round) {
        RawClient client;
        const unsigned where = round % 3;
        if (where == 2) ASSERT_TRUE(greet(client)) << round;
        else client.requests = raw_connect(where == 0 ? control : lockspace);
        const int fd = client.requests;
        ASSERT_GE(fd, 0) << round;
        std::vector<char> packet(1 + random.below(2000));
        for (char& byte : packet) byte = static_cast<char>(random.next());
        if (random.one_in(2) && packet.size() >= 8) {
            // A good header, at least: any type, and the right length or a huge one.
            const auto length = static_cast<std::uint32_t>(random.one_in(4) ? 0xffffff00U : packet.size());
            std::memcpy(packet.data(), &length, 4);
            packet[4] = static_cast<char>(random.below(17));
            packet[5] = packet[6] = packet[7] = 0;
        }
        (void)::send(fd, packet.data(), packet.size(), MSG_NOSIGNAL);
        if (round % 10 == 0) expect_service();
    }
    RawClient client;
    ASSERT_TRUE(greet(client));
    ASSERT_EQ(::send(client.requests, "not a message", 13, MSG_NOSIGNAL), 13);
    EXPECT_TRUE(hung_up(client.requests));
    EXPECT_TRUE(hung_up(client.callbacks));
    client.close();
    EXPECT_TRUE(daemon(0).wait_for_stderr("is disconnected"));
    expect_service();
    while (count("handles") != 1) std::this_thread::yield();
}

// A library of another version is told so, by an errno of its own.
TEST_F(DeathRows, AnotherVersionIsRefused) {
    const auto answer_to = [this](const std::string& path, const wire::Message& question) {
        RawClient client;
        client.requests = raw_connect(path);
        wire::Packet packet;
        wire::encode(question, packet);
        wire::Message answer;
        (void)::send(client.requests, packet.bytes.data(), packet.size, MSG_NOSIGNAL);
        const ssize_t got = ::recv(client.requests, packet.bytes.data(), packet.bytes.size(), 0);
        packet.size = got < 0 ? 0 : static_cast<std::size_t>(got);
        EXPECT_EQ(wire::decode(packet.span(), answer), nullptr);
        return answer;
    };
    const std::string control = run_dir(0) + "/dlm.sock", lockspace = run_dir(0) + "/dlm/ls.rows";
    constexpr std::uint32_t other = wire::protocol_version + 1;
    EXPECT_EQ(std::get<wire::ControlReply>(answer_to(control, wire::AskVersion{other})).error, EPROTO);
    EXPECT_EQ(std::get<wire::ControlReply>(answer_to(control, wire::AskVersion{})).error, 0);
    EXPECT_EQ(std::get<wire::Welcome>(answer_to(lockspace, wire::Hello{other})).error, EPROTO);
    EXPECT_EQ(count("handles"), 1U);
}

// The ring is the client's memory: whatever it writes there, and whenever, harms nobody else.
TEST_F(DeathRows, ScribblersInTheRingAreDisconnected) {
    Prng random(13);
    const std::size_t descriptors_before = descriptors();
    for (unsigned round = 0; round < 100; ++round) {
        RawClient client;
        ASSERT_TRUE(greet(client)) << round;
        for (std::uint32_t i = 0; i < wire::ring_bytes; ++i) client.bytes()[i] = static_cast<std::byte>(random.next());
        if (random.one_in(2)) {
            // One good request first, and the right length of a bad one.
            wire::Packet packet;
            encode_request(LKF_EXPEDITE, packet);
            std::copy_n(packet.bytes.begin(), packet.size, client.bytes());
            std::fill_n(client.bytes() + packet.size, 8, std::byte{0});
            client.bytes()[packet.size] = static_cast<std::byte>(8 + random.below(100));
            client.bytes()[packet.size + 4] = static_cast<std::byte>(random.below(17));
        }
        client.header().taken = static_cast<std::uint32_t>(random.next());
        client.header().under_way = random.one_in(2) ? 0U : ~0U;
        client.header().written = static_cast<std::uint32_t>(random.one_in(2) ? random.next()
                                                                              : random.below(wire::ring_bytes + 1));
        send_doorbell(client);
        if (round % 10 == 0) expect_service();
    }
    RawClient client;
    ASSERT_TRUE(greet(client));
    EXPECT_EQ(::ftruncate(client.ring_fd, 0), -1) << "its size is sealed";
    client.header().written = wire::ring_bytes + 1;
    send_doorbell(client);
    EXPECT_TRUE(hung_up(client.requests));
    EXPECT_TRUE(hung_up(client.callbacks));
    client.close();
    expect_service();
    while (count("handles") != 1) std::this_thread::yield();
    EXPECT_EQ(count("locks"), 0U);
    EXPECT_EQ(descriptors(), descriptors_before);
}

// Messages and positions change while the daemon reads them.
TEST_F(DeathRows, AScribblerThatNeverRests) {
    std::atomic<bool> stop = false;
    std::thread scribbler([&] {
        Prng random(23);
        wire::Packet packet;
        encode_request(LKF_EXPEDITE, packet);
        while (!stop) {
            RawClient client;
            if (!greet(client)) break;
            std::uint32_t written = 0;
            for (unsigned i = 0; i < 2000; ++i) {
                for (std::uint32_t b = 0; b < packet.size; ++b)
                    client.bytes()[(written + b) % wire::ring_bytes] = packet.bytes[b];
                written += static_cast<std::uint32_t>(packet.size);
                client.header().written = written;
                if (i % 16 == 0) send_doorbell(client);
                if (random.one_in(4))
                    client.bytes()[random.below(wire::ring_bytes)] = static_cast<std::byte>(random.next());
                if (random.one_in(64)) client.header().attended = static_cast<std::uint32_t>(random.below(2));
            }
        }
    });
    for (unsigned i = 0; i < 200; ++i) expect_service();
    stop = true;
    scribbler.join();
    while (count("handles") != 1) std::this_thread::yield();
    expect_service();
    EXPECT_EQ(count("locks"), 0U);
}

// Asked for in the ring, and gone without a bell: it counts as any request that was made.
TEST_F(DeathRows, WhatIsInTheRingAtTheEndCounts) {
    RawClient client;
    ASSERT_TRUE(greet(client));
    wire::Packet packet;
    encode_request(LKF_PERSISTENT | LKF_EXPEDITE, packet);
    std::copy_n(packet.bytes.begin(), packet.size, client.bytes());
    client.header().written = static_cast<std::uint32_t>(packet.size);
    client.close();
    while (count("handles") != 1) std::this_thread::yield();
    EXPECT_EQ(count("locks"), 1U) << "an orphan";
    EXPECT_EQ(threaded().purge(ls_, 0, 0), 0);
}

TEST_F(DeathRows, SilentConnectionsDoNotShutOthersOut) {
    std::vector<int> idle;
    for (unsigned i = 0; i < 100; ++i) idle.push_back(raw_connect(run_dir(0) + "/dlm.sock"));
    for (unsigned i = 0; i < 300; ++i) idle.push_back(raw_connect(run_dir(0) + "/dlm/ls.rows"));
    dlm_lshandle_t other = create("other");
    EXPECT_EQ(threaded().release("other", other, 0), 0);
    dlm_lshandle_t second = threaded().open("rows");
    EXPECT_NE(second, nullptr);
    EXPECT_EQ(threaded().close(second), 0);
    for (const int fd : idle)
        if (fd >= 0) ::close(fd);
    expect_service();
}

// Answers that are not read, callbacks that are not read: the first ends at the socket's bound, both harm nobody.
TEST_F(DeathRows, AClientThatDoesNotReadIsBounded) {
    RawClient client;
    ASSERT_TRUE(greet(client));
    wire::Packet packet;
    bool ended = false;
    for (std::uint32_t i = 1; i < 100'000 && !ended; ++i) {
        wire::encode(wire::Message(wire::Purge{.sequence = i, .node = 0, .pid = 1, .tid = 1}), packet);
        ended = ::send(client.requests, packet.bytes.data(), packet.size, MSG_NOSIGNAL) < 0;
    }
    EXPECT_TRUE(ended);
    EXPECT_TRUE(daemon(0).wait_for_stderr("does not read its answers"));
    client.close();
    expect_service();
    // 5,000 locks and unlocks without a look at the callbacks: all of them come afterwards.
    constexpr unsigned many = 5000;
    std::vector<Held> held(many);
    for (unsigned i = 0; i < many; ++i) ASSERT_EQ(lock(ls_, held[i], LKM_EXMODE, 0, "n" + std::to_string(i)), 0);
    for (unsigned i = 0; i < many; ++i) ASSERT_EQ(unlock(ls_, held[i]), 0);
    unsigned unlocked = 0;
    const auto all_unlocked = [&] {
        unlocked = 0;
        for (const Held& one : held) unlocked += !one.statuses.empty() && one.statuses.back() == EUNLOCK;
        return unlocked == many;
    };
    EXPECT_TRUE(until(ls_, all_unlocked)) << unlocked;
    // One unlocked while it waited has one completion, the others two.
    for (const Held& one : held) ASSERT_TRUE(one.asts == 1 || (one.asts == 2 && one.statuses[0] == 0));
}

}  // namespace
}  // namespace sdlm
