// SPDX-License-Identifier: LGPL-2.1-or-later
// sdlm_fuzz_seeds DIRECTORY PLACE...: the seeds as files that libFuzzer reads.
#include <cstdio>
#include <exception>
#include <fstream>

#include "tests/fuzz/seeds.hpp"

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: sdlm_fuzz_seeds DIRECTORY FILE|FOLDER|golden:FILE...\n");
        return 2;
    }
    try {
        std::size_t number = 0;
        for (const auto& seed : sdlm::fuzz::load_seeds({argv + 2, argv + argc})) {
            std::ofstream out(std::string(argv[1]) + "/seed_" + std::to_string(number++), std::ios::binary);
            for (const std::byte b : seed.bytes) out.put(static_cast<char>(b));
            if (!out.flush()) throw std::runtime_error(std::string(argv[1]) + ": cannot be written");
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sdlm_fuzz_seeds: %s\n", error.what());
        return 1;
    }
    return 0;
}
