// SPDX-License-Identifier: LGPL-2.1-or-later
// libo2dlm without a path: lockspaces of libdlm_lt.so.3, over two nodes.
#include <signal.h>
#include <unistd.h>

#include "tests/integration/o2dlm/o2dlm_nodes.hpp"

namespace sdlm {
namespace {

class O2dlmOverLibdlm : public O2dlm {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "making lockspaces needs root";
        O2dlm::SetUp();
    }
    std::unique_ptr<Talker> in_lockspace(unsigned node) const {
        std::unique_ptr<Talker> talker = program(node);
        EXPECT_EQ(talker->ask("0 init - space"), "ok");
        return talker;
    }
};

INSTANTIATE_TEST_SUITE_P(Library, O2dlmOverLibdlm, testing::ValuesIn(flavours()), flavour_name);

std::string padded(const std::string& text) { return text + std::string(32 - text.size(), '.'); }

TEST_P(O2dlmOverLibdlm, LocksExcludeAndValuesTravel) {
    const auto a = in_lockspace(0), b = in_lockspace(1);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 lock x EX 0"), "RECURSIVE_LOCK");
    EXPECT_EQ(b->ask("0 lock x PR 1"), "TRYLOCK_FAILED");
    EXPECT_EQ(a->ask("0 read x 100"), "ok 32 " + padded(""));
    EXPECT_EQ(a->ask("0 write x hello"), "ok 5");
    EXPECT_EQ(a->ask("0 write x " + std::string(40, 'x')), "ok 32") << "cut";
    EXPECT_EQ(a->ask("0 write x HELLO"), "ok 5");
    EXPECT_EQ(b->ask("0 lock keep PR 0"), "ok");
    b->begin("0 lock x PR 0");                 // keeps the resource, and so its value
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(b->answer(), "ok");
    EXPECT_EQ(b->ask("0 read x 64"), "ok 32 HELLO" + std::string(27, 'x'));
    EXPECT_EQ(a->ask("0 lock x PR 1"), "ok");
    EXPECT_EQ(a->ask("0 unlock x"), "ok");
    EXPECT_EQ(a->ask("0 unlock x"), "UNKNOWN_LOCK");
    EXPECT_EQ(a->ask("0 destroy"), "ok");
    EXPECT_EQ(b->ask("0 destroy"), "ok");
}

TEST_P(O2dlmOverLibdlm, WhatItCannotDoItSays) {
    const auto a = in_lockspace(0);
    EXPECT_EQ(a->ask("0 bast_lock x EX 0"), "BAST_UNSUPPORTED");
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 drop x"), "BUSY_LOCK");
    EXPECT_EQ(a->ask("0 drop y"), "SERVICE_UNAVAILABLE");
    EXPECT_EQ(a->ask("0 lock " + std::string(32, 'n') + " EX 0"), "INVALID_LOCK_NAME");
    EXPECT_EQ(a->ask("0 lock " + std::string(31, 'n') + " EX 0"), "ok");
    EXPECT_EQ(a->ask("1 init - " + std::string(255, 'd')), "NAME_TOO_LONG");
    EXPECT_EQ(a->ask("1 init - " + std::string(65, 'd')), "INVALID_ARGS");
    EXPECT_EQ(a->ask("1 init - -"), "INVALID_ARGS");
    EXPECT_EQ(a->ask("0 lock read PR 0"), "ok");
    EXPECT_EQ(a->ask("0 write read x"), original() ? "ok 1" : "LVB_WRITE 777") << "held PR: could not be stored";
    EXPECT_EQ(a->ask("0 destroy"), "ok");
}

TEST_P(O2dlmOverLibdlm, AKilledNodesValueIsNotValid) {
    if (original()) GTEST_SKIP() << "it does not look at the mark";
    const auto a = in_lockspace(0), b = in_lockspace(1);
    EXPECT_EQ(a->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(a->ask("0 write x value"), "ok 5");
    cluster_.kill_daemon(0);
    EXPECT_EQ(b->ask("0 lock x EX 0"), "ok");
    EXPECT_EQ(b->ask("0 read x 64"), "LVB_INVALID 777 ");
    EXPECT_EQ(b->ask("0 write x new"), "ok 3");
    EXPECT_EQ(b->ask("0 read x 64"), "ok 32 " + padded("new"));
    EXPECT_EQ(b->ask("0 destroy"), "ok");
}

TEST_P(O2dlmOverLibdlm, WithoutADaemonOrALibraryThereIsNoDomain) {
    Talker no_daemon(GetParam(), {{"SDLM_RUN_DIR", cluster_.run_dir(7)}, {"LD_LIBRARY_PATH", LIBDLM_DIRECTORY}});
    EXPECT_EQ(no_daemon.ask("0 init - space"), "INTERNAL_FAILURE");
    const auto a = in_lockspace(0), other = in_lockspace(0);
    EXPECT_EQ(a->ask("0 destroy"), "ok");
    EXPECT_EQ(other->ask("0 lock x EX 0"), "ok") << "the first context to go does not end the lockspace";
    EXPECT_EQ(other->ask("0 destroy"), "ok");
}

}  // namespace
}  // namespace sdlm
