// SPDX-License-Identifier: LGPL-2.1-or-later
// libo2dlm on the dlmfs of two nodes. Results that are not obvious are what the original library gives on the kernel's
// dlmfs (OBSERVED 20) or, by original.sh, on ours.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/integration/o2dlm/o2dlm_nodes.hpp"

namespace sdlm {
namespace {

INSTANTIATE_TEST_SUITE_P(Library, O2dlm, testing::ValuesIn(flavours()), flavour_name);

// A value as the program prints it: 0 as a point.
std::string padded(const std::string& text) { return text + std::string(64 - text.size(), '.'); }

TEST_P(O2dlm, WhatIsNoDlmfsOrNoDomainIsRefused) {
    const auto a = program(0);
    const std::string m = mount(0);
    EXPECT_EQ(a->ask("0 init /nonexistent/x dom"), "OPEN_DLM_DIR");
    EXPECT_EQ(a->ask("0 init " + m + "/missing dom"), "OPEN_DLM_DIR");
    EXPECT_EQ(a->ask("0 init " + cluster_.device() + " dom"), "NO_FS_DIR");
    EXPECT_EQ(a->ask("0 init /proc dom"), "NO_FS");
    EXPECT_EQ(a->ask("0 init " + cluster_.run_dir(0) + " dom"), "NO_FS");
    EXPECT_EQ(a->ask("0 init " + m + " -"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 init " + m + " a/b"), "DOMAIN_CREATE");
    EXPECT_EQ(a->ask("0 init " + m + " ''"), "LOCKING");
    EXPECT_EQ(a->ask("0 init " + m + " " + std::string(64, 'd')), "DOMAIN_CREATE");
    EXPECT_EQ(a->ask("0 init " + m + " " + std::string(254, 'd')), "DOMAIN_CREATE");
    EXPECT_EQ(a->ask("0 init " + m + " " + std::string(255, 'd')), "NAME_TOO_LONG");
    EXPECT_EQ(names_in(m), std::vector<std::string>{"domain"});
    EXPECT_EQ(a->ask("0 init " + m + " " + std::string(63, 'd')), "ok");
    EXPECT_EQ(a->ask("0 destroy"), "ok");
}

TEST_P(O2dlm, JoiningMakesTheDomainAndHoldsAPresenceLockInIt) {
    const auto a = joined(0);
    const std::string domain = mount(0) + "/dom";
    struct stat status {};
    ASSERT_EQ(::stat(domain.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0755U & ~022U);
    const std::vector<std::string> names = names_in(domain);
    ASSERT_EQ(names.size(), 1U);
    EXPECT_EQ(names[0].size(), 17U);
    EXPECT_EQ(names[0].find_first_not_of("0123456789abcdef", 1), std::string::npos);
    EXPECT_EQ(names[0][0], '.');
    EXPECT_EQ(::unlink((domain + "/" + names[0]).c_str()), -1);
    EXPECT_EQ(errno, EBUSY);
    EXPECT_EQ(a->ask("0 lock lock EX 0"), "ok");
    ASSERT_EQ(::stat((domain + "/lock").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0664U & ~022U);
}

TEST_P(O2dlm, ArgumentsAreChecked) {
    const auto a = joined(0);
    EXPECT_EQ(a->ask("0 lock - EX 0"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 unlock -"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 drop -"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 read - 3"), "INVALID_ARGS 777 ");
    EXPECT_EQ(a->ask("0 write - x"), "INVALID_ARGS 777");
    EXPECT_EQ(a->ask("0 lock z XX 0"), "INVALID_LOCK_LEVEL");
    EXPECT_EQ(a->ask("0 lock " + std::string(31, 'n') + " EX 0"), "ok");
    EXPECT_EQ(a->ask("0 lock " + std::string(32, 'n') + " EX 0"), "INVALID_LOCK_NAME");
    EXPECT_EQ(a->ask("0 lock .x EX 0"), "INVALID_LOCK_NAME");
    EXPECT_EQ(a->ask("0 lock $x EX 0"), "LOCKING");
    EXPECT_EQ(a->ask("0 lock x/y EX 0"), "LOCKING");
    EXPECT_EQ(a->ask("0 lock '' EX 0"), "LOCKING");
    EXPECT_EQ(a->ask("0 drop x/y"), "UNLINK");
    EXPECT_EQ(a->ask("0 drop ''"), "UNLINK");
    EXPECT_EQ(a->ask("0 drop " + std::string(40, 'n')), "UNLINK");
    EXPECT_EQ(a->ask("0 lock flags EX 254"), "ok") << "unknown flags";
    EXPECT_EQ(a->ask("0 unlock " + std::string(40, 'n')), "UNKNOWN_LOCK");
    EXPECT_EQ(a->ask("0 read unknown 64"), "UNKNOWN_LOCK 777 ");
    EXPECT_EQ(a->ask("0 write unknown x"), "UNKNOWN_LOCK 777");
    EXPECT_EQ(a->ask("0 bast_lock z XX 0"), "INVALID_LOCK_LEVEL");
    EXPECT_EQ(a->ask("0 stray_bast 99"), "ok");
    EXPECT_EQ(a->ask("0 constants"), "32 255 4097 1 1 0 1 -1485330944 -1485330944 -1485330913 8");
    if (original()) return;                    // it crashes
    EXPECT_EQ(a->ask("3 lock x EX 0"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("3 unlock x"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("3 drop x"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("3 read x 1"), "INVALID_ARGS 777 ");
    EXPECT_EQ(a->ask("3 write x 1"), "INVALID_ARGS 777");
    EXPECT_EQ(a->ask("3 destroy"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("3 stray_bast 0"), "ok");
    EXPECT_EQ(a->ask("0 bast_lock x EX 0 nofunc"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 bast_lock x EX 0 nofd"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 supports null"), "INVALID_ARGS INVALID_ARGS 77 77");
}

TEST_P(O2dlm, ExclusiveKeepsOtherNodesOutAndSharedLetsThemShare) {
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(b->ask("0 lock x EX 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(b->ask("0 lock x PR 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(b->ask("0 unlock x"), "UNKNOWN_LOCK") << "refused";
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 unlock x"), "UNKNOWN_LOCK");
    EXPECT_EQ(b->ask("0 lock x PR 0"), "ok");
    EXPECT_EQ(a->ask("0 lock x PR 1"), "ok");
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 lock x EX 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(b->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
}

TEST_P(O2dlm, ALockThatIsHeldCannotBeTakenAgain) {
    const auto a = joined(0);
    EXPECT_EQ(a->ask("0 lock x PR 0"), "ok");
    for (const char* again : {"lock x EX 0", "lock x PR 0", "lock x EX 1", "bast_lock x EX 0"})
        EXPECT_EQ(a->ask(std::string("0 ") + again), "RECURSIVE_LOCK") << again;
    EXPECT_EQ(a->ask("1 init " + mount(0) + " dom"), "ok");
    EXPECT_EQ(a->ask("1 lock x EX 1"), "ok") << "another context of the node";
}

TEST_P(O2dlm, ValuesAreReadAndWrittenAndReachTheOtherNode) {
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 lock x PR 0"), "ok");
    EXPECT_EQ(a->ask("0 read x 64"), "ok 64 " + padded(""));
    EXPECT_EQ(a->ask("0 write x hello"), "LVB_WRITE 777") << "held PR";
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 write x hello"), "ok 5");
    EXPECT_EQ(a->ask("0 read x 5"), "ok 5 hello");
    EXPECT_EQ(a->ask("0 read x 0"), "LVB_INVALID 777 ");
    EXPECT_EQ(a->ask("0 write x HE nocount"), "ok 777");
    EXPECT_EQ(a->ask("0 read x 64 nocount"), "ok 777 " + padded("HEllo"));
    EXPECT_EQ(a->ask("0 write x ''"), "ok 0");
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(b->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(b->ask("0 read x 100"), "ok 64 " + padded("HEllo"));
    EXPECT_EQ(b->ask("0 write x " + std::string(70, 'x')), "ok 64") << "cut";
    EXPECT_EQ(b->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 lock x PR 0"), "ok");
    EXPECT_EQ(a->ask("0 read x 64"), "ok 64 " + std::string(64, 'x'));
    EXPECT_EQ(a->ask("0 read x 64 nobuffer"), "INVALID_ARGS 777 ");
    EXPECT_EQ(a->ask("0 write x -"), "INVALID_ARGS 777");
}

TEST_P(O2dlm, ABastComesWhileAnotherNodeWaits) {
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 bast_lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 bast_lock y EX 0 unlock"), "ok");
    EXPECT_EQ(b->ask("0 lock x EX 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(a->ask("0 bast x 0"), "quiet 0") << "a refused trylock waits for nothing";
    b->begin("0 lock x PR 0");
    EXPECT_EQ(a->ask("0 bast x 30000"), "readable 1");
    EXPECT_EQ(a->ask("0 bast x 30000"), "readable 2") << "until it is unlocked";
    EXPECT_EQ(a->ask("0 bast y 0"), "quiet 0") << "another lock";
    EXPECT_FALSE(b->answered());
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(b->answer(), "ok");
    b->begin("0 lock y EX 0");
    EXPECT_EQ(a->ask("0 bast y 30000"), "unlock in call: ok; readable 1");
    EXPECT_EQ(b->answer(), "ok");
    EXPECT_EQ(a->ask("0 unlock y"), "UNKNOWN_LOCK");
}

TEST_P(O2dlm, DropRemovesWhatNobodyHolds) {
    const auto a = joined(0), other = joined(0);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 write x value"), "ok 5");
    EXPECT_EQ(a->ask("0 drop x"), "BUSY_LOCK");
    EXPECT_EQ(other->ask("0 drop x"), "BUSY_LOCK") << "held by another program of the node";
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(other->ask("0 drop x"), "ok");
    EXPECT_EQ(a->ask("0 drop x"), "UNLINK") << "not there";
    EXPECT_NE(::access((mount(0) + "/dom/x").c_str(), F_OK), 0);
    EXPECT_EQ(a->ask("0 lock x PR 0"), "ok");
}

TEST_P(O2dlm, DestroyRemovesTheDomainUnlessSomebodyElseIsInIt) {
    const auto a = joined(0), other = joined(0), b = joined(1);
    const std::string domain = mount(0) + "/dom";
    for (int i = 0; i < 20; ++i) {
        const std::string name = "lock" + std::to_string(i);
        EXPECT_EQ(a->ask("0 lock " + name + " EX 0"), "ok");
        if (i % 2 != 0) continue;
        EXPECT_EQ(a->ask("0 unlock " + name), "ok");
    }
    EXPECT_EQ(other->ask("0 lock theirs EX 0"), "ok");
    std::ofstream(domain + "/by-hand").close();
    EXPECT_EQ(a->ask("0 destroy"), "ok");
    const std::vector<std::string> left = names_in(domain);
    ASSERT_EQ(left.size(), 2U);
    EXPECT_EQ(left[1], "theirs");
    EXPECT_EQ(b->ask("0 lock lock1 EX 1"), "ok") << "held no more";
    EXPECT_EQ(b->ask("0 lock theirs EX 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(other->ask("0 destroy"), "ok");
    EXPECT_EQ(names_in(mount(0)), std::vector<std::string>{"domain"});
    EXPECT_EQ(names_in(mount(1)).size(), 2U) << "the other node's business";

    ASSERT_EQ(::mkdir((mount(0) + "/hand").c_str(), 0755), 0);
    std::ofstream(mount(0) + "/hand/file").close();
    EXPECT_EQ(a->ask("0 init " + mount(0) + " hand"), "ok");
    EXPECT_EQ(a->ask("0 destroy"), "ok");
    EXPECT_NE(::access((mount(0) + "/hand").c_str(), F_OK), 0) << "made by hand, removed all the same";
}

TEST_P(O2dlm, JoiningAndLeavingOnOneNodeDoNotDisturbEachOther) {
    constexpr int rounds = 250;                // the original may meet a name just removed, and says so
    const std::vector<std::string> steps{"init " + mount(0) + " dom", "lock x EX 0", "unlock x", "lock x EX 0",
                                         "destroy"};
    std::vector<std::unique_ptr<Talker>> programs;
    for (int i = 0; i < 3; ++i) programs.push_back(program(0));
    for (int round = 0; round < rounds; ++round) {
        for (const auto& talker : programs)
            for (const std::string& step : steps) talker->begin("0 " + step);
        for (const auto& talker : programs)
            for (const std::string& step : steps) {
                const std::string answer = talker->answer();
                EXPECT_TRUE(answer == "ok" || original()) << answer << " of " << step << " in round " << round;
            }
    }
}

TEST_P(O2dlm, ADomainThatGoesWhileOneJoinsIsMadeAgain) {
    if (original()) GTEST_SKIP() << "it gives up";
    Flavour flavour = GetParam();
    flavour.preload = O2DLM_REMOVE_ONCE;
    Talker a(flavour, {});
    ASSERT_EQ(::mkdir((mount(0) + "/dom").c_str(), 0755), 0);
    EXPECT_EQ(a.ask("0 init " + mount(0) + " dom"), "ok");
    EXPECT_EQ(names_in(mount(0) + "/dom").size(), 1U);
    EXPECT_EQ(a.ask("0 lock x EX 0"), "ok");
}

TEST_P(O2dlm, AKilledProgramHoldsNothing) {
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 write x value"), "ok 5");
    b->begin("0 lock x EX 0");
    a->kill();
    EXPECT_EQ(b->answer(), "ok");
    EXPECT_EQ(b->ask("0 read x 64"), "ok 64 " + padded("value"));
}

TEST_P(O2dlm, TheValueIsNotValidAfterTheHoldersNodeDied) {
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 write x value"), "ok 5");
    EXPECT_EQ(a->ask("0 lock shared PR 0"), "ok");
    EXPECT_EQ(b->ask("0 lock shared PR 0"), "ok");
    cluster_.daemon(0).kill(SIGKILL);          // its mount stays, dead
    // At once: a value that nobody needs when its holder's end is published begins anew, as in every DLM.
    EXPECT_EQ(b->ask("0 lock x EX 0"), "ok");
    cluster_.daemon(0).wait();
    EXPECT_EQ(b->ask("0 read x 64"), "LVB_INVALID 777 ");
    EXPECT_EQ(b->ask("0 write x new"), "ok 3");
    EXPECT_EQ(b->ask("0 read x 64"), "ok 64 " + padded("new"));
    EXPECT_EQ(b->ask("0 read shared 64"), "ok 64 " + padded("")) << "the dead node held PR";

    EXPECT_EQ(a->ask("0 read x 64"), "LVB_READ 777 ");
    EXPECT_EQ(a->ask("0 write x late"), "LVB_WRITE 777");
    EXPECT_EQ(a->ask("0 lock y EX 0"), "LOCKING");
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 drop y"), "UNLINK");
    EXPECT_EQ(a->ask("0 destroy"), "DOMAIN_DIR");
    EXPECT_EQ(a->ask("0 init " + mount(0) + " dom"), "OPEN_DLM_DIR");
}

// Row 5: FUSE gives EINTR also where SA_RESTART is asked for, so the library asks again.
TEST_P(O2dlm, ASignalEndsAWaitOnlyIfItIsMeantTo) {
    if (original()) GTEST_SKIP() << "it knows no EINTR";
    const auto a = joined(0), b = joined(1);
    EXPECT_EQ(a->ask("0 bast_lock x EX 0"), "ok");
    EXPECT_EQ(b->ask("0 signals restart"), "0");
    b->begin("0 lock x EX 0");
    EXPECT_EQ(a->ask("0 bast x 30000"), "readable 1");
    b->signal(SIGUSR1);
    EXPECT_EQ(b->answer(), "signal");
    EXPECT_FALSE(b->answered());
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(b->answer(), "ok");

    EXPECT_EQ(a->ask("0 bast_lock y EX 0"), "ok");
    EXPECT_EQ(b->ask("0 signals interrupt"), "0");
    b->begin("0 lock y EX 0");
    EXPECT_EQ(a->ask("0 bast y 30000"), "readable 1");
    b->signal(SIGUSR1);
    EXPECT_EQ(b->answer(), "signal");
    EXPECT_EQ(b->answer(), "LOCKING");
    EXPECT_EQ(b->ask("0 unlock y"), "UNKNOWN_LOCK");
}

TEST_P(O2dlm, BothCapabilitiesAreThere) { EXPECT_EQ(program(0)->ask("0 supports"), "ok ok 1 1"); }

TEST_P(O2dlm, NoDescriptorIsLeft) {
    const auto a = program(0);
    const std::string before = a->ask("0 fds");
    EXPECT_EQ(a->ask("0 init " + mount(0) + " dom"), "ok");
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 bast_lock y PR 0"), "ok");
    EXPECT_EQ(a->ask("0 lock " + std::string(32, 'n') + " EX 0"), "INVALID_LOCK_NAME");
    EXPECT_EQ(a->ask("1 init /proc dom"), "NO_FS");
    EXPECT_EQ(a->ask("0 destroy"), "ok");
    EXPECT_EQ(a->ask("0 fds"), before);
}

}  // namespace
}  // namespace sdlm
