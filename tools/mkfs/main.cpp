// SPDX-License-Identifier: LGPL-2.1-or-later
#include <exception>
#include <iostream>

#include "tools/mkfs/run.hpp"

int main(int argc, char** argv) {
    try {
        return sdlm::tools::mkfs::run(argc, argv, std::cout, std::cerr, sdlm::tools::mkfs::system_environment());
    } catch (const std::exception& error) {
        std::cerr << "mkfs.sdlm: " << error.what() << '\n';
        return 1;
    }
}
