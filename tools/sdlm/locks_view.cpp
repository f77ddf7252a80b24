// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlm/locks_view.hpp"

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "locks/core/mode.hpp"
#include "tools/common/table.hpp"

namespace sdlm::tools {

using nlohmann::json;

namespace {

locks::Mode mode_of(const json& row, const char* member) {
    const std::string name = row.value(member, "NL");
    for (const auto mode : {locks::Mode::CR, locks::Mode::CW, locks::Mode::PR, locks::Mode::PW, locks::Mode::EX}) {
        if (name == locks::text(mode)) return mode;
    }
    return locks::Mode::NL;
}

bool wants(const json& row) { return row.value("phase", "none") != "none"; }

bool waits_for(const json& waiter, const json& holder) {
    return wants(waiter) && waiter.at("node") != holder.at("node") &&
           locks::conflicts(mode_of(waiter, "want"), mode_of(holder, "held"));
}

// Rows `first` .. `end` are those of one resource.
void add_waits(json& rows, std::size_t first, std::size_t end) {
    const std::size_t count = end - first;
    std::vector<std::vector<std::size_t>> blockers(count);
    std::size_t waiters = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (!wants(rows[first + i])) continue;
        ++waiters;
        for (std::size_t k = 0; k < count; ++k) {
            if (waits_for(rows[first + i], rows[first + k])) blockers[i].push_back(k);
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::vector<bool> seen(count, false);
        std::vector<std::size_t> open = blockers[i];
        while (!open.empty() && !seen[i]) {
            const std::size_t next = open.back();
            open.pop_back();
            if (seen[next]) continue;
            seen[next] = true;
            open.insert(open.end(), blockers[next].begin(), blockers[next].end());
        }
        rows[first + i]["cycle"] = static_cast<bool>(seen[i]);
        rows[first + i]["waiters"] = waiters;
    }
}

std::string flags(const json& row) {
    std::string text;
    const auto add = [&](bool is, const char* name) {
        if (is) text += (text.empty() ? "" : ",") + std::string(name);
    };
    add(row.value("cycle", false), "cycle");
    add(row.value("blocked", false), "blocked");
    add(row.value("noqueue", false), "trylock");
    add(row.value("convert", false), "convert");
    add(row.value("interest", false), "interest");
    add(row.value("orphan_lvb", false), "orphan-lvb");
    return text.empty() ? "-" : text;
}

std::string lvb_text(const json& row) {
    const json& lvb = row.at("lvb");
    if (lvb.at("version") == 0) return "-";
    std::string digits = lvb.at("hex");
    constexpr std::string_view zeros = "00";
    while (digits.ends_with(zeros)) digits.resize(digits.size() - zeros.size());
    constexpr std::size_t shown = 32;
    const bool cut = digits.size() > shown;
    if (cut) digits.resize(shown);
    const std::string validity = lvb.at("valid").get<bool>() ? " " : " NOT VALID ";
    return "v" + lvb.at("version").dump() + validity + digits + (cut ? "..." : "");
}

}  // namespace

void add_waits(json& rows) {
    std::size_t first = 0;
    for (std::size_t i = 1; i <= rows.size(); ++i) {
        const bool same = i < rows.size() && rows[i].at("lockspace") == rows[first].at("lockspace") &&
                          rows[i].at("name") == rows[first].at("name");
        if (same) continue;
        add_waits(rows, first, i);
        first = i;
    }
}

void print_locks(std::ostream& out, const json& rows) {
    Table table({"LOCKSPACE", "NAME", "NODE", "HELD", "USED", "WANT", "PHASE", "TICKET", "WAITERS", "FLAGS", "LVB"});
    for (const json& row : rows) {
        const bool wanting = wants(row);
        table.add({row.at("lockspace").get<std::string>(), row.at("name").get<std::string>(),
                   row.at("node").dump() + (row.at("own").get<bool>() ? "*" : ""), row.at("held").get<std::string>(),
                   row.value("used", "-"), wanting ? row.value("want", "?") : "-",
                   wanting ? row.at("phase").get<std::string>() : "-", wanting ? row.at("ticket").dump() : "-",
                   row.at("waiters").dump(), flags(row), lvb_text(row)});
    }
    table.print(out);
    for (const json& row : rows) {
        if (!row.value("cycle", false)) continue;
        out << "cycle: node " << row.at("node") << " holds " << row.at("held").get<std::string>() << " and wants "
            << row.value("want", "?") << " of " << row.at("lockspace").get<std::string>() << "/"
            << row.at("name").get<std::string>() << "; it and the others of the cycle wait until one lets go\n";
    }
}

}  // namespace sdlm::tools
