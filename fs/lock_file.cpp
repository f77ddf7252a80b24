// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/lock_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "disk/base/assert.hpp"
#include "fs/errno_map.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::fs {

using locks::Mode;

LockFile::LockFile(locks::LockPort& port, locks::Handle handle) : port_(port), handle_(handle) {
    ask_for_next();   // the existing name keeps the LVB alive, also before the first open
}

Mode LockFile::used() const {
    if (writers_ > 0) return Mode::EX;
    return descriptors_.empty() ? Mode::NL : Mode::PR;
}

bool LockFile::allowed(Mode level) const { return mark_ == Mode::NL || locks::compatible(level, mark_); }

void LockFile::open(OpenId id, OpenMode mode, Effects& out) {
    SDLM_ASSERT(mode.level == Mode::PR || mode.level == Mode::EX);
    if (lost_) {
        out.answers.push_back({id, EIO});
        return;
    }
    // Whoever queues already is not covered or not allowed, and stays so: only the new one is looked at.
    const Waiting waiting{id, mode};
    if (locks::covers(used(), mode.level) && allowed(mode.level)) return admit(waiting, out);
    if (mode.nonblock && !allowed(mode.level)) {
        out.answers.push_back({id, ETXTBSY});
        return;
    }
    queue_.push_back(waiting);
    ask_for_next();
}

bool LockFile::withdraw(OpenId id, Effects& out) {
    const auto at = std::find_if(queue_.begin(), queue_.end(), [id](const Waiting& w) { return w.id == id; });
    if (at == queue_.end()) return false;
    queue_.erase(at);
    if (asks(id)) asking_.reset();
    settle(out);
    return true;
}

void LockFile::expire(OpenId id, Effects& out) {
    if (asks(id)) return;   // the node itself bounds the answer to a trylock
    const auto at = std::find_if(queue_.begin(), queue_.end(), [id](const Waiting& w) { return w.id == id; });
    if (at == queue_.end() || !at->mode.nonblock) return;
    queue_.erase(at);
    out.answers.push_back({id, ETXTBSY});
}

void LockFile::release(OpenId id, Effects& out) {
    const auto at = descriptors_.find(id);
    if (at == descriptors_.end()) return;
    if (at->second == Mode::EX) --writers_;
    descriptors_.erase(at);
    if (!lost_) settle(out);
}

void LockFile::granted(Mode mode, Effects& out) {
    if (lost_) return;
    stated_.reset();   // the node now counts `mode` as used until it is told otherwise
    if (asking_ && locks::covers(mode, asking_->mode.level)) {
        const Waiting waiting = *std::exchange(asking_, std::nullopt);
        std::erase_if(queue_, [&](const Waiting& w) { return w.id == waiting.id; });
        admit(waiting, out);   // even if marked by now: a granted open is never taken back before it returns
    }
    settle(out);
}

void LockFile::refused(locks::Refusal why, Effects& out) {
    if (lost_) return;
    stated_.reset();
    if (const auto asked = std::exchange(asking_, std::nullopt)) {
        // Other trylocks that waited for this answer have it too.
        std::erase_if(queue_, [&](const Waiting& w) {
            const bool itself = w.id == asked->id;
            const bool same = why == locks::Refusal::would_block && w.mode.nonblock &&
                              locks::covers(w.mode.level, asked->mode.level);
            if (itself || same) out.answers.push_back({w.id, itself ? errno_of(why) : ETXTBSY});
            return itself || same;
        });
    }
    settle(out);
}

void LockFile::blocked(Mode mode, Effects& out) {
    if (lost_) return;
    const bool was_marked = marked_blocked();
    mark_ = mode;
    settle(out);
    if (was_marked || !marked_blocked()) return;
    for (const auto& [id, level] : descriptors_) out.wakes.push_back(id);
}

void LockFile::fail_waiting(int error, Effects& out) {
    for (const Waiting& waiting : queue_) out.answers.push_back({waiting.id, error});
    queue_.clear();
    asking_.reset();
    if (!lost_) settle(out);
}

void LockFile::lease_lost(Effects& out) {
    if (lost_) return;
    lost_ = true;
    fail_waiting(EIO, out);
    for (const auto& [id, level] : descriptors_) out.wakes.push_back(id);
}

void LockFile::admit(const Waiting& waiting, Effects& out) {
    descriptors_.emplace(waiting.id, waiting.mode.level);
    if (waiting.mode.level == Mode::EX) ++writers_;
    out.answers.push_back({waiting.id, 0});
}

void LockFile::admit_covered(Effects& out) {
    std::erase_if(queue_, [&](const Waiting& waiting) {
        if (!locks::covers(used(), waiting.mode.level) || !allowed(waiting.mode.level)) return false;
        if (asks(waiting.id)) asking_.reset();
        admit(waiting, out);
        return true;
    });
}

// O_NONBLOCK never waits for a hand-over that only a local program's close can bring.
void LockFile::refuse_held_back(Effects& out) {
    std::erase_if(queue_, [&](const Waiting& waiting) {
        if (!waiting.mode.nonblock || asks(waiting.id) || allowed(waiting.mode.level)) return false;
        out.answers.push_back({waiting.id, ETXTBSY});
        return true;
    });
}

void LockFile::settle(Effects& out) {
    if (locks::compatible(used(), mark_)) mark_ = Mode::NL;   // nothing of ours is in the way any more
    admit_covered(out);
    refuse_held_back(out);
    ask_for_next();
}

void LockFile::ask_for_next() {
    if (!queue_.empty() && !asking_ && allowed(queue_.front().mode.level)) asking_ = queue_.front();
    locks::Demand demand{.used = used(), .want = std::nullopt, .interest = true, .cache = true};
    // Not `convert`: an upgrade keeps its place among all nodes' requests, and two upgrades wait for each other.
    if (asking_) demand.want = locks::Want{.mode = asking_->mode.level, .noqueue = asking_->mode.nonblock};
    if (stated_ == demand) return;
    stated_ = demand;
    port_.set_demand(handle_, demand);
}

std::size_t LockFile::read(std::uint64_t offset, std::span<std::byte> out) const {
    const locks::Lvb& lvb = port_.lvb(handle_);
    if (!lvb.valid || offset >= lvb_file_bytes) return 0;
    const std::size_t count = std::min(out.size(), lvb_file_bytes - offset);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = offset + i;
        out[i] = at < lvb.length ? lvb.bytes[at] : std::byte{0};
    }
    return count;
}

int LockFile::write(OpenId id, std::uint64_t offset, std::span<const std::byte> bytes) {
    const auto descriptor = descriptors_.find(id);
    if (descriptor == descriptors_.end() || descriptor->second != Mode::EX) return -EBADF;
    if (offset >= lvb_file_bytes) return -ENOSPC;
    const std::size_t start = offset;
    const std::size_t count = std::min(bytes.size(), lvb_file_bytes - start);
    if (count == 0) return 0;
    std::array<std::byte, lvb_file_bytes> value{};   // a value that is not valid is not kept in parts either
    const locks::Lvb& old = port_.lvb(handle_);
    if (old.valid) std::copy_n(old.bytes.begin(), std::min<std::size_t>(old.length, value.size()), value.begin());
    std::copy_n(bytes.begin(), count, value.begin() + static_cast<std::ptrdiff_t>(start));
    port_.write_lvb(handle_, value, true);
    return static_cast<int>(count);
}

}  // namespace sdlm::fs
