// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a fuzz target without libFuzzer: each seed, then a bounded number of seeded mutations of them. Whatever ends the
// process prints the input first, as a hex image that can be put into the corpus.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "disk/base/prng.hpp"
#include "tests/fuzz/seeds.hpp"
#include "tests/golden/hex_image.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// There in a build with sanitizers only: they end the process without a signal.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace {

using sdlm::Prng;
using sdlm::fuzz::Seed;
using Bytes = std::vector<std::byte>;

constexpr std::size_t input_bytes_max = 8192;
constexpr unsigned seconds_of_one_input_max = 60;      // ends a hopeless wait: inputs take microseconds

const Bytes* running = nullptr;

// Not async-signal-safe, which does not matter: the process ends here, and the input is all that it still has to say.
void print_input() {
    if (const Bytes* input = std::exchange(running, nullptr))
        std::fprintf(stderr, "the input, %zu bytes:\n%s", input->size(), sdlm::test::to_hex_image(*input).c_str());
}

void on_death(int signal) {
    if (signal == SIGALRM) std::fprintf(stderr, "no end within %u s\n", seconds_of_one_input_max);
    print_input();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const Bytes& input) {
    running = &input;
    ::alarm(seconds_of_one_input_max);
    std::vector<std::uint8_t> copy(input.size());      // of exactly this size: AddressSanitizer sees its ends
    std::transform(input.begin(), input.end(), copy.begin(), [](std::byte b) { return static_cast<std::uint8_t>(b); });
    try {
        LLVMFuzzerTestOneInput(copy.data(), copy.size());
    } catch (...) {
        print_input();      // before it is gone
        throw;
    }
    running = nullptr;
}

void mutate_once(Bytes& input, const Bytes& other, Prng& prng) {
    static constexpr std::array<unsigned, 8> edges{0x00, 0x01, 0x07, 0x08, 0x10, 0x7f, 0x80, 0xff};
    const auto at = [&prng](const Bytes& bytes) {
        return static_cast<std::ptrdiff_t>(bytes.empty() ? 0 : prng.below(bytes.size()));
    };
    const auto place = at(input);
    switch (prng.below(6)) {
        case 0:
            if (!input.empty()) input[static_cast<std::size_t>(place)] ^= std::byte{1} << prng.below(8);
            break;
        case 1:
            if (!input.empty()) input[static_cast<std::size_t>(place)] = std::byte(edges[prng.below(edges.size())]);
            break;
        case 2: input.insert(input.begin() + place, static_cast<std::byte>(prng.next())); break;
        case 3: {
            const auto end = std::min<std::ptrdiff_t>(std::ssize(input), place + 1 + static_cast<int>(prng.below(16)));
            input.erase(input.begin() + place, input.begin() + end);
            break;
        }
        case 4: {
            const auto from = at(other);
            const auto count = std::min<std::ptrdiff_t>(std::ssize(other) - from, 1 + static_cast<int>(prng.below(64)));
            const Bytes part(other.begin() + from, other.begin() + from + count);
            input.insert(input.begin() + place, part.begin(), part.end());
            break;
        }
        default: input.resize(static_cast<std::size_t>(place)); break;
    }
    if (input.size() > input_bytes_max) input.resize(input_bytes_max);
}

void run_mutations(const std::vector<Seed>& seeds, std::uint64_t count, std::uint64_t first) {
    for (std::uint64_t i = 0; i < count; ++i) {
        Prng prng(first + i);
        Bytes input = seeds[prng.below(seeds.size())].bytes;
        for (std::uint64_t edits = 1 + prng.below(6); edits > 0; --edits)
            mutate_once(input, seeds[prng.below(seeds.size())].bytes, prng);
        run(input);
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t mutations = 0, first = 1;
    std::vector<std::string> places;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--mutations" && i + 1 < argc) mutations = std::strtoull(argv[++i], nullptr, 10);
        else if (argument == "--first" && i + 1 < argc) first = std::strtoull(argv[++i], nullptr, 10);
        else places.emplace_back(argument);
    }
    if (places.empty()) {
        std::fprintf(stderr, "usage: %s [--mutations N] [--first N] FILE|FOLDER|golden:FILE...\n", argv[0]);
        return 2;
    }
    for (const int signal : {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP}) std::signal(signal, on_death);
    if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(print_input);
    try {
        const auto seeds = sdlm::fuzz::load_seeds(places);
        for (const Seed& seed : seeds) run(seed.bytes);
        run_mutations(seeds, mutations, first);
        std::printf("%zu seeds, %llu mutations\n", seeds.size(), static_cast<unsigned long long>(mutations));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        return 1;
    }
    return 0;
}
