// SPDX-License-Identifier: LGPL-2.1-or-later
// Plain text columns, and the forms of numbers in them.
#pragma once
#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

namespace sdlm::tools {

class Table {
public:
    explicit Table(std::vector<std::string> heading);
    void add(std::vector<std::string> cells);
    // Columns as wide as their widest cell, two blanks between; no blanks at the end of a line.
    void print(std::ostream& out) const;

private:
    std::vector<std::vector<std::string>> lines_;
};

// "310 us", "4.2 ms", "12.5 s".
std::string duration_text(std::int64_t us);

}  // namespace sdlm::tools
