// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/integration/o2dlm/o2dlm_nodes.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace sdlm {

std::vector<Flavour> flavours() {
    const char* original = std::getenv("SDLM_TEST_O2DLM_ORIGINAL");
    if (original != nullptr) return {{"Original", original, O2DLM_PRELOAD, true}};
    return {{"Shared", O2DLM_PROGRAM_SHARED, "", false}, {"Static", O2DLM_PROGRAM_STATIC, "", false}};
}

void O2dlm::SetUp() {
    const std::string reason = cluster_.start({.nodes = 2, .block_bytes = 512, .loop = false});
    if (!reason.empty()) GTEST_SKIP() << reason;
}

std::unique_ptr<Talker> O2dlm::program(unsigned node) const {
    return std::make_unique<Talker>(GetParam(), std::map<std::string, std::string>{
                                                    {"SDLM_RUN_DIR", cluster_.run_dir(node)},
                                                    {"LD_LIBRARY_PATH", LIBDLM_DIRECTORY}});
}

std::unique_ptr<Talker> O2dlm::joined(unsigned node, const std::string& domain) const {
    std::unique_ptr<Talker> talker = program(node);
    EXPECT_EQ(talker->ask("0 init " + mount(node) + " " + domain), "ok");
    return talker;
}

std::vector<std::string> O2dlm::names_in(const std::string& directory) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace sdlm
