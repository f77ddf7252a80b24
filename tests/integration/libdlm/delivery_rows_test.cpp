// SPDX-License-Identifier: LGPL-2.1-or-later
// SEMANTICS 4 and 9, OBSERVED 29, 30, 39: the descriptor, dispatch, threads, fork, blocking notices.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>
#include <utility>

#include "tests/integration/libdlm/nodes.hpp"
#include "tests/integration/libdlm/program.hpp"

namespace sdlm {
namespace {

class DeliveryRows : public NodesWithLockspace {};

TEST_F(DeliveryRows, ReadableExactlyWhilePending) {
    const int fd = threaded().get_fd(ls_);
    EXPECT_EQ(threaded().get_fd(ls_), fd);
    pollfd p{fd, POLLIN, 0};
    EXPECT_EQ(::poll(&p, 1, 0), 0);
    EXPECT_EQ(threaded().dispatch(fd), 0) << "nothing pending";
    Held a, b;
    ASSERT_EQ(lock(ls_, a, LKM_PRMODE, 0), 0);
    ASSERT_EQ(lock(ls_, b, LKM_PRMODE, 0), 0);
    ASSERT_EQ(::poll(&p, 1, 20'000), 1);
    EXPECT_EQ(p.revents, POLLIN);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    timeval none{};
    EXPECT_EQ(::select(fd + 1, &set, nullptr, nullptr, &none), 1);
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = EPOLLIN;
    ASSERT_EQ(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, 0), 1);
    EXPECT_EQ(event.events, static_cast<unsigned>(EPOLLIN));
    EXPECT_TRUE(until(ls_, [&] { return a.asts == 1 && b.asts == 1; }));
    EXPECT_EQ(::poll(&p, 1, 0), 0);
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, 0), 0);
    ::close(epoll);
    EXPECT_EQ(threaded().dispatch(-1), -1);
    EXPECT_EQ(threaded().dispatch(0), -1) << "no descriptor of ours";
}

TEST_F(DeliveryRows, OneDispatchDeliversAllAndCallbacksMayCall) {
    constexpr unsigned many = 1000;
    std::vector<Held> held(many);
    unsigned ended = 0;
    for (unsigned i = 0; i < many; ++i) {
        held[i].on_ast = [&, i] {
            if (held[i].lksb.sb_status == EUNLOCK) ++ended;
            else if (unlock(ls_, held[i]) != 0) ended += 2 * many;
        };
        ASSERT_EQ(lock(ls_, held[i], LKM_EXMODE, 0, "r" + std::to_string(i)), 0);
    }
    EXPECT_TRUE(until(ls_, [&] { return ended == many; }));
    EXPECT_EQ(ended, many);
    EXPECT_EQ(count("locks"), 0U);
}

// Callbacks share packets: what is left of one is still seen at the descriptor, by whoever looks.
class SharedPacket : public DeliveryRows {
protected:
    static constexpr unsigned many = 40;
    // Conversions of locks that are held: their callbacks are made in one round of the daemon, in this order.
    void SetUp() override {
        DeliveryRows::SetUp();
        for (unsigned i = 0; i < many; ++i) {
            ASSERT_EQ(status_of(ls_, held_[i], LKM_EXMODE, 0, "r" + std::to_string(i)), 0);
            held_[i].on_ast = [this, i] { delivered(i); };
        }
        for (Held& one : held_) ASSERT_EQ(convert(ls_, one, LKM_NLMODE), 0);
        // An answered request goes behind them: when it is back, the daemon has sent their callbacks or sends them
        // next.
        ASSERT_EQ(threaded().purge(ls_, 0, 1), 0);
        while (count("handles") != 1) std::this_thread::yield();
    }
    virtual void delivered(unsigned i) {
        order_.push_back(i);
        readable_.push_back(readable(ls_));
        if (in_callback_) in_callback_(i);
    }
    std::vector<unsigned> all() const {
        std::vector<unsigned> out(many);
        for (unsigned i = 0; i < many; ++i) out[i] = i;
        return out;
    }
    std::vector<Held> held_ = std::vector<Held>(many);
    std::vector<unsigned> order_;
    std::vector<bool> readable_;
    std::function<void(unsigned)> in_callback_;
};

TEST_F(SharedPacket, ReadableUntilTheLastIsDelivered) {
    ASSERT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
    EXPECT_EQ(order_, all());
    for (unsigned i = 0; i < readable_.size(); ++i) EXPECT_EQ(readable_[i], i + 1 < many) << i;
}

TEST_F(SharedPacket, ADispatchInsideACallbackDeliversTheRestInOrder) {
    in_callback_ = [this](unsigned i) {
        if (i != 3) return;
        EXPECT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
        EXPECT_EQ(order_, all()) << "all of it, before the callback of 3 returns";
    };
    ASSERT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
    EXPECT_EQ(order_, all());
}

TEST_F(SharedPacket, AnotherThreadTakesTheRest) {
    in_callback_ = [this](unsigned i) {
        if (i != 3) return;
        std::thread([this] { EXPECT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0); }).join();
    };
    ASSERT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
    EXPECT_EQ(order_, all());
}

TEST_F(SharedPacket, AForkedChildTakesTheRest) {
    in_callback_ = [this](unsigned i) {
        if (i != 3) return;
        in_callback_ = nullptr;
        Program child([this] {
            if (threaded().dispatch(threaded().get_fd(ls_)) != 0) return 1;
            return order_ == all() ? 0 : 2;
        });
        EXPECT_EQ(child.wait(), 0);
    };
    ASSERT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
    EXPECT_EQ(order_, (std::vector<unsigned>{0, 1, 2, 3})) << "the child has had the others";
    EXPECT_FALSE(readable(ls_));
}

TEST_F(SharedPacket, TheDescriptorHasOtherNumbers) {
    in_callback_ = [this](unsigned i) {
        if (i != 3) return;
        const int copy = ::dup(threaded().get_fd(ls_));
        EXPECT_EQ(threaded().dispatch(copy), 0);
        ::close(copy);
    };
    ASSERT_EQ(threaded().dispatch(threaded().get_fd(ls_)), 0);
    EXPECT_EQ(order_, all());
}

// A program may have made the descriptor blocking, or not: dispatch never blocks, and leaves that as it is.
TEST_F(DeliveryRows, FileStatusFlagsAreLeftAlone) {
    const int fd = threaded().get_fd(ls_);
    Held held;
    for (const int flags : {0, O_NONBLOCK}) {
        ASSERT_EQ(::fcntl(fd, F_SETFL, flags), 0);
        EXPECT_EQ(threaded().dispatch(fd), 0) << "nothing pending";
        ASSERT_EQ(status_of(ls_, held, LKM_EXMODE, 0), 0);
        ASSERT_EQ(unlock_status(ls_, held), EUNLOCK);
        EXPECT_EQ(::fcntl(fd, F_GETFL) & O_NONBLOCK, flags);
    }
}

// The routine may run before the lock call has returned: the id is in the lksb for both.
TEST_F(DeliveryRows, TheIdIsThereForACompletionThatIsFaster) {
    ASSERT_EQ(threaded().ls_pthread_init(ls_), 0);
    for (unsigned i = 0; i < 300; ++i) {
        Held held;
        std::atomic<std::uint32_t> granted = 0;
        std::atomic<bool> unlocked = false;
        held.on_ast = [&] {
            if (held.lksb.sb_status == 0) granted = held.lksb.sb_lkid;
            if (held.lksb.sb_status != 0 || unlock(ls_, held) != 0) unlocked = true;
        };
        ASSERT_EQ(lock(ls_, held, LKM_EXMODE, 0), 0);
        const std::uint32_t id = held.lksb.sb_lkid;
        while (!unlocked) std::this_thread::yield();
        EXPECT_NE(id, 0U);
        ASSERT_EQ(granted, id);
        ASSERT_EQ(held.lksb.sb_status, EUNLOCK);
    }
}

std::size_t threads_of_this_process() {
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) found += entry.exists();
    return found;
}

TEST_F(DeliveryRows, CloseAndReleaseEndTheThread) {
    const std::size_t before = threads_of_this_process();
    dlm_lshandle_t second = threaded().open("rows");
    ASSERT_EQ(threaded().ls_pthread_init(second), 0);
    ASSERT_EQ(threaded().ls_pthread_init(ls_), 0);
    EXPECT_EQ(threads_of_this_process(), before + 2);
    EXPECT_EQ(threaded().close(second), 0);
    EXPECT_EQ(threaded().release("rows", std::exchange(ls_, nullptr), 0), 0);
    // Joined, but the kernel takes a moment to forget a thread.
    while (threads_of_this_process() != before) std::this_thread::yield();
}

TEST_F(DeliveryRows, AThreadThatCannotBeStarted) {
    Program program([this] {
        pthread_attr_t huge;
        pthread_attr_init(&huge);
        if (pthread_attr_setstacksize(&huge, std::size_t{1} << 46) != 0) return 1;
        if (pthread_setattr_default_np(&huge) != 0) return 2;
        const int error = threaded().ls_pthread_init(ls_);
        return error == EAGAIN || error == ENOMEM ? 0 : 3;          // the positive number, not -1
    });
    EXPECT_EQ(program.wait(), 0);
    EXPECT_EQ(threaded().ls_pthread_init(ls_), 0);
}

TEST_F(DeliveryRows, AThreadDelivers) {
    ASSERT_EQ(threaded().ls_pthread_init(ls_), 0);
    errno = 0;
    EXPECT_EQ(threaded().ls_pthread_init(ls_), -1);
    EXPECT_EQ(errno, EEXIST);
    Held held;
    std::atomic<bool> called = false, elsewhere = false;
    const std::thread::id self = std::this_thread::get_id();
    held.on_ast = [&] {
        elsewhere = std::this_thread::get_id() != self;
        // A waiting call inside the delivering thread delivers by itself.
        struct dlm_lksb inner {};
        if (threaded().lock_wait(ls_, LKM_EXMODE, &inner, 0, "inner", 5, 0, nullptr, nullptr, nullptr) != 0) return;
        if (inner.sb_status != 0 || threaded().unlock_wait(ls_, inner.sb_lkid, 0, &inner) != 0) return;
        called = true;
    };
    ASSERT_EQ(lock(ls_, held, LKM_EXMODE, 0), 0);
    for (unsigned i = 0; i < 20'000 && !called; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(called);
    EXPECT_TRUE(elsewhere);
}

TEST_F(DeliveryRows, ManyThreadsWaitWithAndWithoutTheDeliveringThread) {
    for (const bool with_thread : {false, true}) {
        if (with_thread) {
            ASSERT_EQ(threaded().ls_pthread_init(ls_), 0);
        }
        std::atomic<unsigned> good = 0;
        std::vector<std::thread> threads;
        constexpr unsigned thread_count = 4, rounds = 100;
        int counter = 0;
        for (unsigned t = 0; t < thread_count; ++t) {
            threads.emplace_back([&] {
                for (unsigned i = 0; i < rounds; ++i) {
                    struct dlm_lksb lksb {};
                    if (threaded().lock_wait(ls_, LKM_EXMODE, &lksb, 0, "shared", 6, 0, nullptr, nullptr, nullptr) != 0)
                        return;
                    if (lksb.sb_status != 0) return;
                    counter = counter + 1;             // under the lock alone
                    if (threaded().unlock_wait(ls_, lksb.sb_lkid, 0, &lksb) != 0 || lksb.sb_status != EUNLOCK) return;
                    ++good;
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(good, thread_count * rounds);
        EXPECT_EQ(counter, static_cast<int>(thread_count * rounds));
    }
}

TEST_F(DeliveryRows, AForkedChildDispatchesByTheNumber) {
    static Held held;
    held = Held();
    ASSERT_EQ(lock(ls_, held, LKM_EXMODE, 0), 0);
    ASSERT_TRUE(readable(ls_, 20'000));
    Program child([this] {
        if (threaded().dispatch(threaded().get_fd(ls_)) != 0) return 1;
        if (held.asts != 1 || held.lksb.sb_status != 0) return 2;
        // The child is the same owner: it may use the lock, and lock itself.
        Held own;
        if (status_of(ls_, own, LKM_EXMODE, LKF_NOQUEUE, "childs") != 0) return 3;
        if (convert_status(ls_, held, LKM_PRMODE) != 0) return 4;
        return 0;
    });
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(held.asts, 0U) << "delivered in the child";
    // Both locks are held on: the owner lives as long as a copy of its descriptors.
    Held other;
    EXPECT_EQ(status_of(ls_, other, LKM_EXMODE, LKF_NOQUEUE, "childs"), EAGAIN);
    EXPECT_EQ(status_of(ls_, other, LKM_PRMODE, LKF_NOQUEUE), 0) << "the child has converted it";
    EXPECT_EQ(unlock_status(ls_, held), EUNLOCK);
}

TEST_F(DeliveryRows, AForkedChildKeepsTheOwnerAlive) {
    Signal go;
    dlm_lshandle_t second = threaded().open("rows");
    Held held;
    ASSERT_EQ(status_of(second, held, LKM_EXMODE, 0), 0);
    Program child([&] { return go.take() ? 0 : 1; });
    EXPECT_EQ(threaded().close(second), 0);
    Held other;
    EXPECT_EQ(status_of(ls_, other, LKM_EXMODE, LKF_NOQUEUE), EAGAIN);
    go.give();
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(status_of(ls_, other, LKM_EXMODE, 0), 0) << "the last copy is closed";
}

TEST_F(DeliveryRows, ParentAndChildCallAtTheSameTime) {
    constexpr int rounds = 300;
    const auto work = [this](const std::string& name) {
        Held held;
        for (int i = 0; i < rounds; ++i) {
            // Unanswered requests, answers for two, and callbacks that may reach either process.
            if (lock(ls_, held, LKM_EXMODE, 0, name + std::to_string(i)) != 0) return 1;
            if (threaded().purge(ls_, 0, 1) != 0) return 2;
        }
        return 0;
    };
    Program child([&] { return work("child"); });
    EXPECT_EQ(work("parent"), 0);
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(count("locks"), 2U * rounds);
}

TEST_F(DeliveryRows, AfterCloseNoCallbacks) {
    dlm_lshandle_t second = threaded().open("rows");
    Held held;
    ASSERT_EQ(lock(second, held, LKM_EXMODE, 0), 0);
    EXPECT_EQ(threaded().close(second), 0);
    EXPECT_EQ(held.asts, 0U);
    EXPECT_EQ(held.lksb.sb_status, EINPROG);
    EXPECT_EQ(count("locks"), 0U);
}

TEST_F(DeliveryRows, ClosingInACallback) {
    for (const bool with_thread : {false, true}) {
        dlm_lshandle_t second = threaded().open("rows");
        const int fd = threaded().get_fd(second);
        if (with_thread) {
            ASSERT_EQ(threaded().ls_pthread_init(second), 0);
        }
        Held held;
        std::atomic<int> closed = -99;
        held.on_ast = [&] { closed = threaded().close(second); };
        ASSERT_EQ(lock(second, held, LKM_EXMODE, 0, "closing"), 0);
        for (unsigned i = 0; i < 20'000 && closed == -99; ++i) {
            pollfd p{fd, POLLIN, 0};
            ::poll(&p, 1, 1);
            if (!with_thread && closed == -99) threaded().dispatch(fd);
        }
        EXPECT_EQ(closed, 0);
        while (count("handles") != 1) std::this_thread::yield();
    }
}

TEST_F(DeliveryRows, BlockingNotices) {
    Held holder, waiter, second;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    holder.lksb.sb_status = 1234;
    ASSERT_EQ(lock(ls_, waiter, LKM_PRMODE, 0), 0);
    ASSERT_TRUE(until(ls_, [&] { return holder.basts == 1; }));
    EXPECT_EQ(holder.lksb.sb_status, 1234) << "a notice leaves the lksb alone";
    EXPECT_EQ(waiter.asts, 0U);
    // Once per level, not per waiter.
    ASSERT_EQ(lock(ls_, second, LKM_PRMODE, 0), 0);
    EXPECT_FALSE(readable(ls_, 200));
    EXPECT_EQ(unlock_status(ls_, second, LKF_CANCEL), ECANCEL);
    // Down far enough: the waiter is granted, no stale notice follows.
    ASSERT_EQ(convert(ls_, holder, LKM_PRMODE), 0);
    ASSERT_TRUE(until(ls_, [&] { return waiter.asts == 1; }));
    EXPECT_EQ(waiter.lksb.sb_status, 0);
    EXPECT_EQ(holder.basts, 1U);
    EXPECT_EQ(waiter.basts, 0U);
    // NOQUEUE tells nobody, NOQUEUEBAST does.
    EXPECT_EQ(status_of(ls_, second, LKM_EXMODE, LKF_NOQUEUE), EAGAIN);
    EXPECT_EQ(holder.basts + waiter.basts, 1U);
    EXPECT_EQ(status_of(ls_, second, LKM_EXMODE, LKF_NOQUEUE | LKF_NOQUEUEBAST), EAGAIN);
    EXPECT_TRUE(until(ls_, [&] { return holder.basts == 2 && waiter.basts == 1; }));
}

TEST_F(DeliveryRows, AConversionWithoutARoutineEndsNotices) {
    Held holder, waiter;
    ASSERT_EQ(status_of(ls_, holder, LKM_EXMODE, 0), 0);
    ASSERT_EQ(threaded().lock(ls_, LKM_EXMODE, &holder.lksb, LKF_CONVERT, nullptr, 0, 0, Held::ast, &holder, nullptr,
                              nullptr), 0);
    ASSERT_TRUE(completed(ls_, holder));
    ASSERT_EQ(lock(ls_, waiter, LKM_EXMODE, 0), 0);
    EXPECT_FALSE(readable(ls_, 200));
    EXPECT_EQ(holder.basts, 0U);
}

TEST_F(DeliveryRows, AGrantUnderOtherWaitersIsFollowedByItsNotice) {
    Held first, second, third;
    ASSERT_EQ(status_of(ls_, first, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(ls_, second, LKM_EXMODE, 0), 0);
    ASSERT_EQ(lock(ls_, third, LKM_EXMODE, 0), 0);
    unsigned basts_at_grant = 99;
    second.on_ast = [&] { basts_at_grant = second.basts; };
    ASSERT_EQ(unlock(ls_, first), 0);
    EXPECT_TRUE(until(ls_, [&] { return second.basts == 1; }));
    EXPECT_EQ(basts_at_grant, 0U) << "completion first";
}

}  // namespace
}  // namespace sdlm
