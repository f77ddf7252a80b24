// SPDX-License-Identifier: LGPL-2.1-or-later
// The tests' own tool: a helper that cannot see a failure would hide every other one.
#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>
#include <signal.h>

namespace sdlm::test {
namespace {

TEST(ChildProcess, OutputAndExitCode) {
    ChildProcess child({"sh", "-c", "echo out; echo err >&2; exit 3"});
    const ExitStatus status = child.wait();
    EXPECT_TRUE(status.exited);
    EXPECT_EQ(status.code, 3);
    EXPECT_EQ(child.out(), "out\n");
    EXPECT_EQ(child.err(), "err\n");
    EXPECT_FALSE(child.running());
}

TEST(ChildProcess, WaitsForText) {
    ChildProcess child({"sh", "-c", "echo ready; exec sleep 1000"});
    EXPECT_TRUE(child.wait_for_stdout("ready"));
    EXPECT_FALSE(child.wait_for_stderr("something", 10));
    EXPECT_TRUE(child.running());
    child.kill(SIGTERM);
    const ExitStatus status = child.wait();
    EXPECT_FALSE(status.exited);
    EXPECT_EQ(status.signal, SIGTERM);
}

TEST(ChildProcess, KilledAtItsBound) {
    ChildProcess child({"sleep", "1000"});
    const ExitStatus status = child.wait(10);
    EXPECT_FALSE(status.exited);
    EXPECT_EQ(status.signal, SIGKILL);
}

TEST(ChildProcess, UnknownProgram) {
    ChildProcess child({"/nonexistent/program"});
    EXPECT_EQ(child.wait().code, 127);
}

}  // namespace
}  // namespace sdlm::test
