// SPDX-License-Identifier: LGPL-2.1-or-later
#include "counting_program.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <stdexcept>

namespace sdlm {
namespace {

constexpr unsigned inside_us = 500;      // room for an intruder

constexpr std::uint64_t pack(std::uint32_t token, std::uint32_t count) { return std::uint64_t{token} << 32 | count; }
constexpr std::uint32_t token_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }
constexpr std::uint32_t count_of(std::uint64_t word) { return static_cast<std::uint32_t>(word); }

// The next token, kept in the lock's value for the next holder. 0: the node has refused.
std::uint32_t take_token(int fd, const CountingStorage& storage) {
    std::uint32_t last = 0;
    const ssize_t n = ::pread(fd, &last, sizeof last, 0);
    if (n < 0) return 0;
    // A holder died and the value with it: what the storage has seen is all there is.
    const std::uint32_t token = (n == 0 ? storage.token() : last) + 1;
    return ::pwrite(fd, &token, sizeof token, 0) == static_cast<ssize_t>(sizeof token) ? token : 0;
}

// False when the node has refused.
bool count_once(const std::string& lock, CountingStorage& storage, CountingStorage::Tally& tally) {
    const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    const std::uint32_t token = take_token(fd, storage);
    if (token == 0) {
        ::close(fd);
        return false;
    }
    bool accepted = storage.show(token);
    if (accepted) {
        ::usleep(inside_us);
        accepted = storage.add(token);
    }
    ++(accepted ? tally.added : tally.refused);
    ::close(fd);
    return true;
}

}  // namespace

CountingStorage::CountingStorage(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const bool made = fd >= 0 && ::ftruncate(fd, sizeof(Words)) == 0;
    void* memory = made ? ::mmap(nullptr, sizeof(Words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    ::close(fd);
    if (memory == MAP_FAILED) throw std::runtime_error(path + ": cannot be mapped");
    words_ = new (memory) Words{};
}

CountingStorage::~CountingStorage() { ::munmap(words_, sizeof(Words)); }

std::uint32_t CountingStorage::token() const { return token_of(words_->token_and_count); }
std::uint32_t CountingStorage::count() const { return count_of(words_->token_and_count); }

bool CountingStorage::show(std::uint32_t token) {
    std::uint64_t seen = words_->token_and_count;
    while (token > token_of(seen))
        if (words_->token_and_count.compare_exchange_weak(seen, pack(token, count_of(seen)))) return true;
    return false;
}

bool CountingStorage::add(std::uint32_t token) {
    std::uint64_t seen = words_->token_and_count;
    while (token == token_of(seen))
        if (words_->token_and_count.compare_exchange_weak(seen, pack(token, count_of(seen) + 1))) return true;
    return false;
}

std::unique_ptr<test::ForkedProgram> start_counting(const std::string& lock, CountingStorage& storage,
                                                    unsigned program) {
    return std::make_unique<test::ForkedProgram>(
        [lock, &storage, program] {
            while (!storage.stop())
                if (!count_once(lock, storage, storage.tally(program))) break;
            return 0;
        },
        test::ForkOptions{.seconds_max = 3600, .descriptors = test::Descriptors::closed});
}

}  // namespace sdlm
