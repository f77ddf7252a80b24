// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/fault_disk_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <sstream>
#include <utility>

namespace sdlm::test {
namespace {

constexpr std::array<std::pair<const char*, Fault>, 9> faults{{{"hang", Fault::hang},
                                                              {"delay", Fault::delay},
                                                              {"fail", Fault::fail},
                                                              {"fail_landed", Fault::fail_landed},
                                                              {"drop", Fault::drop},
                                                              {"tear", Fault::tear},
                                                              {"misdirect", Fault::misdirect},
                                                              {"corrupt", Fault::corrupt},
                                                              {"watch", Fault::watch}}};
constexpr std::array<std::pair<const char*, int>, 4> errors{
    {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"ENODEV", ENODEV}, {"ETIMEDOUT", ETIMEDOUT}}};

template <class Value, std::size_t size>
bool find(const std::array<std::pair<const char*, Value>, size>& table, const std::string& name, Value& value) {
    for (const auto& [text, meaning] : table) {
        if (name != text) continue;
        value = meaning;
        return true;
    }
    return false;
}

template <class Number>
bool parse(const std::string& text, Number& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

bool set_direction(const std::string& value, FaultRule& rule) {
    rule.reads = value == "reads" || value == "all";
    rule.writes = value == "writes" || value == "all";
    return rule.reads || rule.writes;
}

bool set(const std::string& key, const std::string& value, FaultRule& rule) {
    if (key == "on") return set_direction(value, rule);
    if (key == "at") return parse(value, rule.range.at);
    if (key == "bytes") return parse(value, rule.range.bytes) && rule.range.bytes > 0;
    if (key == "count") return parse(value, rule.hits_max) && rule.hits_max > 0;
    if (key == "until") return rule.until_write = value == "write";
    if (key == "landed" && rule.fault == Fault::hang) return rule.landed = value == "1";
    if (key == "ms" && rule.fault == Fault::delay) return parse(value, rule.delay_ms);
    if (key == "keep" && rule.fault == Fault::tear) return parse(value, rule.keep_bytes);
    if (key == "by" && rule.fault == Fault::misdirect) return parse(value, rule.shift_bytes);
    if (key == "error" && (rule.fault == Fault::fail || rule.fault == Fault::fail_landed))
        return find(errors, value, rule.error);
    return false;
}

bool only_writes(Fault fault) {
    return fault == Fault::fail_landed || fault == Fault::drop || fault == Fault::tear || fault == Fault::misdirect;
}

void apply(const FaultRule& rule, Verdict& verdict) {
    switch (rule.fault) {
        case Fault::hang:
            verdict.hung_by = rule.id;
            verdict.lands_first |= rule.landed;
            break;
        case Fault::delay: verdict.delay_ms = std::max(verdict.delay_ms, rule.delay_ms); break;
        case Fault::fail:
            verdict.error = rule.error;
            verdict.lands = false;
            break;
        case Fault::fail_landed: verdict.error = rule.error; break;
        case Fault::drop: verdict.lands = false; break;
        case Fault::tear: verdict.land_bytes = rule.keep_bytes; break;
        case Fault::misdirect: verdict.shift_bytes = rule.shift_bytes; break;
        case Fault::corrupt: verdict.corrupted.push_back(rule.range); break;
        case Fault::watch: break;
    }
}

}  // namespace

bool ByteRange::touches(const ByteRange& other) const {
    const auto end = [](const ByteRange& r) { return r.bytes > UINT64_MAX - r.at ? UINT64_MAX : r.at + r.bytes; };
    return at < end(other) && other.at < end(*this);
}

unsigned FaultRules::add(const std::string& line, std::string& problem) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    FaultRule rule;
    if (!find(faults, word, rule.fault)) return problem = "no fault '" + word + "'", 0;
    while (words >> word) {
        const std::size_t equals = word.find('=');
        if (equals == std::string::npos || !set(word.substr(0, equals), word.substr(equals + 1), rule))
            return problem = "'" + word + "' is no option of this fault, or has a bad value", 0;
    }
    if (only_writes(rule.fault)) rule.reads = false;
    if (rule.fault == Fault::corrupt) rule.writes = false;
    if ((rule.fault == Fault::fail || rule.fault == Fault::fail_landed) && rule.error == 0) rule.error = EIO;
    rule.id = ++last_id_;
    rules_.push_back(rule);
    return rule.id;
}

bool FaultRules::remove(unsigned id) {
    return std::erase_if(rules_, [id](const FaultRule& rule) { return rule.id == id; }) > 0;
}

Verdict FaultRules::judge(const DiskRequest& request) {
    Verdict verdict;
    for (FaultRule& rule : rules_) {
        if (!(request.is_write ? rule.writes : rule.reads) || !rule.range.touches(request.range)) continue;
        if (rule.hits == rule.hits_max) continue;
        ++rule.hits;
        apply(rule, verdict);
    }
    if (request.is_write)
        std::erase_if(rules_, [&](const FaultRule& r) { return r.until_write && r.range.touches(request.range); });
    return verdict;
}

}  // namespace sdlm::test
