// SPDX-License-Identifier: LGPL-2.1-or-later
// Latencies of one kind, and their percentiles.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

#include "disk/base/instant.hpp"

namespace sdlm::bench {

class Samples {
public:
    void add(Duration d) { values_.push_back(d.ns); }
    std::size_t count() const { return values_.size(); }
    // Microseconds; 0 without samples. 0 < percent <= 100.
    double us(double percent) const {
        if (values_.empty()) return 0;
        std::vector<std::int64_t> sorted = values_;
        const auto rank = static_cast<std::size_t>(percent / 100 * static_cast<double>(sorted.size()));
        const std::size_t place = std::min(rank, sorted.size() - 1);
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(place), sorted.end());
        return static_cast<double>(sorted[place]) / 1e3;
    }

private:
    std::vector<std::int64_t> values_;
};

inline double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

}  // namespace sdlm::bench
