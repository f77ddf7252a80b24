// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/fuzz/seeds.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/golden/hex_image.hpp"

namespace sdlm::fuzz {

namespace {

constexpr const char* golden_prefix = "golden:";
constexpr std::byte switches_none{0};
constexpr std::byte switches_seal_and_place{3};

std::vector<std::byte> read_input(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream content;
    content << in.rdbuf();
    if (!in) throw std::runtime_error(path.string() + ": cannot be read");
    const std::string text = content.str();
    std::vector<std::byte> bytes(text.size());
    std::transform(text.begin(), text.end(), bytes.begin(), [](char c) { return static_cast<std::byte>(c); });
    if (path.extension() == ".hex" && !test::from_hex_image(text, bytes))
        throw std::runtime_error(path.string() + ": not a hex image (see tests/golden/hex_image.hpp)");
    return bytes;
}

void add_golden(const std::string& path, std::vector<Seed>& out) {
    auto block = read_input(path);
    block.insert(block.begin(), switches_none);
    out.push_back({path, block});
    block.front() = switches_seal_and_place;
    out.push_back({path + " (sealed)", std::move(block)});
}

}  // namespace

std::vector<Seed> load_seeds(const std::vector<std::string>& places) {
    std::vector<Seed> out;
    for (const std::string& place : places) {
        if (place.starts_with(golden_prefix)) {
            add_golden(place.substr(std::char_traits<char>::length(golden_prefix)), out);
        } else if (std::filesystem::is_directory(place)) {
            std::vector<std::filesystem::path> files;
            for (const auto& entry : std::filesystem::directory_iterator(place)) files.push_back(entry.path());
            std::sort(files.begin(), files.end());      // the order must not depend on the file system
            for (const auto& file : files) out.push_back({file.string(), read_input(file)});
        } else {
            out.push_back({place, read_input(place)});
        }
    }
    if (out.empty()) throw std::runtime_error("no seeds");
    return out;
}

}  // namespace sdlm::fuzz
