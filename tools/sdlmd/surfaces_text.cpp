// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/sdlmd/surfaces_text.hpp"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <string_view>

namespace sdlm::tools {
namespace {

constexpr unsigned resource_value_not_valid = 0x2;
constexpr unsigned lock_of_user = 0x1, lock_is_orphan = 0x2;
constexpr int waits_for_request = 1, waits_for_conversion = 2;
constexpr std::size_t line_guess = 100;

[[gnu::format(printf, 2, 3)]] void add(std::string& out, const char* format, ...) {
    std::array<char, 256> line;
    std::va_list arguments;
    va_start(arguments, format);
    const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
    va_end(arguments);
    out.append(line.data(), std::min(static_cast<std::size_t>(std::max(length, 0)), line.size() - 1));
}

bool printable(char c) { return c >= 0x20 && c < 0x7f; }

// A name may hold any byte; one that ends a line or the quotes would make readers lose the rest of the file.
void add_name(std::string& out, std::string_view name) {
    for (const char c : name) out += printable(c) && c != '"' ? c : '.';
}

unsigned internal_flags(const dlm::LockRow& row) { return lock_of_user | (row.orphan ? lock_is_orphan : 0U); }

void add_resource(std::string& out, const dlm::ResourceRow& row, std::size_t number) {
    add(out, "rsb %016zx 0 0 %x 0 0 0 %zu ", number, row.lvb_valid ? 0U : resource_value_not_valid, row.name.size());
    if (std::all_of(row.name.begin(), row.name.end(), printable)) {
        out += "str ";
        out += row.name;
    } else {
        out += "hex";
        for (const char c : row.name) add(out, " %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
    out += '\n';
    if (row.lvb_version == 0) return;
    add(out, "lvb %" PRIu32 " %zu", static_cast<std::uint32_t>(row.lvb_version), row.lvb.size());
    for (const std::byte byte : row.lvb) add(out, " %02x", std::to_integer<unsigned>(byte));
    out += '\n';
}

}  // namespace

std::string locks_text(std::span<const dlm::LockRow> rows) {
    std::string out = "id nodeid remid pid xid exflags flags sts grmode rqmode time_us r_nodeid r_len r_name\n";
    out.reserve(out.size() + rows.size() * line_guess);
    for (const dlm::LockRow& row : rows) {
        add(out, "%x 0 0 %u %" PRIu64 " %x %x %d %d %d %" PRIu64 " 0 %zu \"", row.id, row.pid, row.xid, row.flags,
            internal_flags(row), row.status, row.granted, row.wanted, row.time_us, row.name.size());
        add_name(out, row.name);
        out += "\"\n";
    }
    return out;
}

std::string all_text(std::span<const dlm::ResourceRow> rows, std::span<const dlm::WaiterRow> waiters, Instant now) {
    std::map<dlm::LockId, int> waits;
    for (const dlm::WaiterRow& row : waiters) waits[row.id] = row.converts ? waits_for_conversion : waits_for_request;
    std::string out = "version rsb 1.1 lvb 1.1 lkb 1.1\n";
    std::size_t number = 0;
    for (const dlm::ResourceRow& resource : rows) {
        add_resource(out, resource, ++number);
        for (const auto* queue : {&resource.granted, &resource.converting, &resource.waiting}) {
            for (const dlm::LockRow& row : *queue) {
                const auto wait = waits.find(row.id);
                const std::int64_t age_us = static_cast<std::int64_t>(row.time_us);
                const std::int64_t since = std::max<std::int64_t>(now.ns / 1000 - age_us, 0);
                add(out, "lkb %x 0 0 %u %" PRIu64 " %x %x %d %d %d %d 0 %d %" PRIu32 " %" PRId64 " 0\n", row.id,
                    row.pid, row.xid, row.flags, internal_flags(row), row.status, row.granted, row.wanted,
                    queue == &resource.waiting ? 0 : static_cast<int>(resource.blocked),
                    wait == waits.end() ? 0 : wait->second, static_cast<std::uint32_t>(resource.lvb_version),
                    since * 1000);
            }
        }
    }
    return out;
}

std::string waiters_text(std::span<const dlm::WaiterRow> rows) {
    std::string out;
    for (const dlm::WaiterRow& row : rows) {
        add(out, "%x %d 0 ", row.id, row.converts ? waits_for_conversion : waits_for_request);
        add_name(out, row.name);
        out += '\n';
    }
    return out;
}

std::string toss_text() { return "version rsb 1.0\n"; }

}  // namespace sdlm::tools
