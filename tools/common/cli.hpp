// SPDX-License-Identifier: LGPL-2.1-or-later
// What all command lines share: exit codes and the way to report an error.
#pragma once
#include <exception>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>

namespace sdlm::tools {

inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;

inline int failed(const char* program, const std::string& message) {
    std::cerr << program << ": " << message << '\n';
    return exit_failed;
}

// For main: parses, then runs. `usage` is the exit code of a wrong command line.
template <class Run>
int parse_and_run(CLI::App& app, int argc, char** argv, int usage, Run&& run) {
    try {
        app.parse(argc, argv);
        return run();
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? exit_ok : usage;
    } catch (const std::exception& e) {
        return failed(app.get_name().c_str(), e.what());
    }
}

}  // namespace sdlm::tools
