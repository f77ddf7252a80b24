// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/dlmfs/mounts.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/integration/dlmfs/client.hpp"

namespace sdlm::fs::test {

Mounts& mounts() {
    static Mounts instance;
    return instance;
}

std::string Mounts::start() {
    const char* a = std::getenv("SDLM_TEST_MOUNT_A");
    const char* b = std::getenv("SDLM_TEST_MOUNT_B");
    if (a != nullptr && b != nullptr) {
        roots_ = {a, b};
        return {};
    }
    if (::access("/dev/fuse", R_OK | W_OK) != 0) return "/dev/fuse cannot be opened";
    std::string pattern = std::filesystem::temp_directory_path() / "sdlm-dlmfs-rows-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return "no temporary directory: " + pattern;
    folder_ = pattern;
    ::chmod(folder_.c_str(), 0755);   // other users' programs are part of the test
    roots_ = {folder_ + "/a", folder_ + "/b"};
    for (const std::string& root : roots_) std::filesystem::create_directory(root);
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return "no pipes";
    server_ = ::fork();
    if (server_ == 0) {
        ::dup2(in[0], STDIN_FILENO);
        ::dup2(out[1], STDOUT_FILENO);
        ::execl(SDLM_FAKE_CLUSTER, SDLM_FAKE_CLUSTER, roots_[0].c_str(), roots_[1].c_str(), nullptr);
        ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = out[0];
    if (read_line() == "ready") return {};
    stop();
    return "the fake cluster did not start (see its message above)";
}

void Mounts::stop() {
    if (server_ > 0) {
        ::close(input_);
        ::close(output_);
        int status = 0;
        ::waitpid(server_, &status, 0);
        EXPECT_TRUE(WIFEXITED(status)) << "the fake cluster was ended by signal " << WTERMSIG(status);
        server_ = -1;
    }
    if (folder_.empty()) return;
    std::error_code error;
    for (const std::string& root : roots_) std::filesystem::remove(root, error);
    std::filesystem::remove(folder_, error);
    EXPECT_FALSE(std::filesystem::exists(folder_, error)) << folder_ << ": still mounted?";
}

std::string Mounts::read_line() {
    std::string line;
    pollfd one{output_, POLLIN, 0};
    for (char c = 0; c != '\n';) {
        if (::poll(&one, 1, watchdog_seconds() * 1000) <= 0 || ::read(output_, &c, 1) != 1) return "no answer";
        if (c != '\n') line += c;
    }
    return line;
}

std::string Mounts::command(const std::string& line) {
    const std::string text = line + "\n";
    if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) return "not written";
    return read_line();
}

bool Mounts::kill_b() {
    if (fake()) return command("kill 1") == "ok";
    const char* shell = std::getenv("SDLM_TEST_KILL_B");
    return shell != nullptr && std::system(shell) == 0;
}

void Mounts::restart_b() {
    if (fake()) {
        ASSERT_EQ(command("restart 1"), "ok");
        return;
    }
    const char* shell = std::getenv("SDLM_TEST_RESTART_B");
    ASSERT_NE(shell, nullptr) << "SDLM_TEST_KILL_B needs SDLM_TEST_RESTART_B";
    ASSERT_EQ(std::system(shell), 0);
}

}  // namespace sdlm::fs::test
