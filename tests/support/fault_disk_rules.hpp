// SPDX-License-Identifier: LGPL-2.1-or-later
// What a faulty disk does to each request: rules that come and go at run time. Pure; fault_disk_main.cpp obeys it.
//
// A rule is one line: FAULT [on=reads|writes|all] [at=OFFSET] [bytes=LENGTH] [count=N] [until=write] [its own words].
//   hang [landed=1]        answered when the rule goes; a write lands then, or with landed=1 at once
//   delay ms=N             executed and answered later
//   fail error=NAME        EIO, ENOSPC, ENODEV, ETIMEDOUT: not executed
//   fail_landed error=NAME a write lands and fails all the same
//   drop                   a write is acknowledged and does not land
//   tear keep=N            only the first N bytes of a write land; acknowledged
//   misdirect by=N         a write lands N bytes further (N may be negative)
//   corrupt                bytes read from the range are wrong
//   watch                  nothing, but counts
// A rule counts for requests that touch its range, at most `count` times; with until=write a write to the range ends
// it after that write was judged: a bad block that its next write repairs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdlm::test {

enum class Fault { hang, delay, fail, fail_landed, drop, tear, misdirect, corrupt, watch };

struct ByteRange {
    std::uint64_t at = 0;
    std::uint64_t bytes = UINT64_MAX;
    bool touches(const ByteRange& other) const;
};

struct FaultRule {
    unsigned id = 0;
    Fault fault = Fault::watch;
    bool reads = true, writes = true;
    ByteRange range;
    std::uint64_t hits_max = UINT64_MAX;
    bool until_write = false;
    bool landed = false;
    unsigned delay_ms = 0;
    int error = 0;
    std::uint64_t keep_bytes = 0;
    std::int64_t shift_bytes = 0;
    std::uint64_t hits = 0;
};

struct DiskRequest {
    bool is_write = false;
    ByteRange range;
};

struct Verdict {
    unsigned hung_by = 0;                    // id of the rule; 0: none
    unsigned delay_ms = 0;
    int error = 0;                           // of the answer
    bool lands = true;                       // a write's bytes, `land_bytes` of them, `shift_bytes` further
    bool lands_first = false;                // before the delay, or the hanging
    std::uint64_t land_bytes = UINT64_MAX;
    std::int64_t shift_bytes = 0;
    std::vector<ByteRange> corrupted;        // of a read's answer
};

class FaultRules {
public:
    // The id of the new rule, or 0 and `problem`.
    unsigned add(const std::string& line, std::string& problem);
    bool remove(unsigned id);
    void remove_all() { rules_.clear(); }
    Verdict judge(const DiskRequest& request);
    const std::vector<FaultRule>& rules() const { return rules_; }

private:
    std::vector<FaultRule> rules_;
    unsigned last_id_ = 0;
};

}  // namespace sdlm::test
