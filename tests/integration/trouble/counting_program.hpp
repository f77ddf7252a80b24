// SPDX-License-Identifier: LGPL-2.1-or-later
// Programs that count in shared storage under a cluster lock, with a fencing token as any storage could check it: who
// has the lock takes the next token from the lock's value and shows it first; the storage refuses lower ones from then
// on. So what a program does that was stopped in the middle and goes on too late is refused, and seen.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/forked_program.hpp"

namespace sdlm {

inline constexpr unsigned programs_max = 4;

// One file, mapped by all programs.
class CountingStorage {
public:
    explicit CountingStorage(const std::string& path);
    ~CountingStorage();
    CountingStorage(const CountingStorage&) = delete;
    CountingStorage& operator=(const CountingStorage&) = delete;

    bool show(std::uint32_t token);            // false: not above all tokens shown before
    bool add(std::uint32_t token);             // false: a higher one was shown
    std::uint32_t token() const;
    std::uint32_t count() const;

    struct Tally {                             // of one program, over all its runs
        std::atomic<std::uint64_t> added, refused;
    };
    Tally& tally(unsigned program) { return words_->tallies[program]; }
    std::atomic<bool>& stop() { return words_->stop; }

private:
    struct Words {
        std::atomic<std::uint64_t> token_and_count;
        Tally tallies[programs_max];
        std::atomic<bool> stop;
    };
    Words* words_;
};

// Counts until it is told to stop, or until its node refuses a call.
std::unique_ptr<test::ForkedProgram> start_counting(const std::string& lock, CountingStorage& storage,
                                                    unsigned program);

}  // namespace sdlm
