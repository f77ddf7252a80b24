// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/dlmfs/rows.hpp"

#include <dirent.h>
#include <poll.h>
#include <sched.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

namespace sdlm::fs::test {

void File::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

std::string File::read(off_t offset, std::size_t size) const {
    std::string bytes(size, '\0');
    const ssize_t count = ::pread(fd_, bytes.data(), size, offset);
    if (count < 0) return "E" + std::to_string(errno);
    bytes.resize(static_cast<std::size_t>(count));
    return bytes;
}

int File::write(off_t offset, const std::string& text) const {
    const ssize_t count = ::pwrite(fd_, text.data(), text.size(), offset);
    return count < 0 ? -errno : static_cast<int>(count);
}

int File::poll() const {
    pollfd one{fd_, POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM | POLLWRBAND, 0};
    return ::poll(&one, 1, 0) < 0 ? -errno : one.revents;
}

void Rows::SetUp() {
    ::umask(022);
    ::alarm(static_cast<unsigned>(watchdog_seconds()) * 4);
    static int count = 0;
    domain_ = "rows." + std::to_string(::getpid()) + "." + std::to_string(++count);
    for (const int node : {a, b}) ASSERT_EQ(failed(::mkdir(domain(node).c_str(), 0755)), 0) << domain(node);
}

void Rows::TearDown() {
    for (const int node : {a, b}) {
        const auto removed = [&] {
            std::error_code error;
            for (const auto& entry : std::filesystem::directory_iterator(domain(node), error))
                std::filesystem::remove(entry.path(), error);
            return ::rmdir(domain(node).c_str()) == 0 || errno == ENOENT;
        };
        EXPECT_TRUE(eventually(removed)) << domain(node) << ": " << std::strerror(errno);
    }
    ::alarm(0);
}

void Rows::make(int node, const std::string& name) const {
    ASSERT_EQ(failed(::mknod(lock(node, name).c_str(), S_IFREG | 0664, 0)), 0);
}

// Requests of one mount are worked off in order, and what one brings about at the other node in the next rounds.
void Rows::settle(int node) const {
    struct statfs status {};
    for (int i = 0; i < 4; ++i) ASSERT_EQ(::statfs(root(node).c_str(), &status), 0);
}

void Rows::cache(int node, int flags) const {
    Client client;
    ASSERT_GE(client.open(lock(node), flags | O_CREAT), 0);
    client.kill();
    settle(node);
}

bool Rows::eventually(const std::function<bool()>& state) {
    const std::time_t give_up = std::time(nullptr) + watchdog_seconds();
    while (!state()) {
        if (std::time(nullptr) > give_up) return false;
        ::sched_yield();
    }
    return true;
}

bool Rows::becomes(const File& file, int revents) {
    return eventually([&] { return file.poll() == revents; });
}

void Rows::begin_blocked_open(Client& client, const std::string& path, int flags) const {
    client.begin_open(path, flags);
    client.wait_until_in_open();
    settle(a);
    settle(b);
}

void Rows::expect_still_waiting(Client& client) const {
    settle(a);
    settle(b);
    const auto result = client.finished();
    EXPECT_FALSE(result.has_value()) << "it returned " << result.value_or(0);
}

}  // namespace sdlm::fs::test
