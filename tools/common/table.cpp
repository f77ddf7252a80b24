// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>
#include <utility>

namespace sdlm::tools {
namespace {

// Code points, not bytes; names that are wider on the screen only shift their line.
std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0U) != 0x80;
    }));
}

}  // namespace

Table::Table(std::vector<std::string> heading) { lines_.push_back(std::move(heading)); }

void Table::add(std::vector<std::string> cells) { lines_.push_back(std::move(cells)); }

void Table::print(std::ostream& out) const {
    std::vector<std::size_t> widths(lines_.front().size(), 0);
    for (const auto& line : lines_) {
        for (std::size_t i = 0; i < line.size() && i < widths.size(); ++i) {
            widths[i] = std::max(widths[i], width(line[i]));
        }
    }
    for (const auto& line : lines_) {
        std::string text;
        for (std::size_t i = 0; i < line.size(); ++i) {
            text += line[i];
            if (i < widths.size()) text += std::string(widths[i] - width(line[i]) + 2, ' ');
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out << text << '\n';
    }
}

std::string duration_text(std::int64_t us) {
    if (us < 1000) return std::to_string(us) + " us";
    std::array<char, 32> text{};
    const double value = static_cast<double>(us);
    if (us < 1'000'000) std::snprintf(text.data(), text.size(), "%.1f ms", value / 1e3);
    else std::snprintf(text.data(), text.size(), "%.1f s", value / 1e6);
    return text.data();
}

}  // namespace sdlm::tools
