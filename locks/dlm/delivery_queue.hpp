// SPDX-License-Identifier: LGPL-2.1-or-later
// Callbacks on their way to one owner, first in first out, with the rules by which blocking notices become needless:
// one is not queued right behind one of the same lock for the same mode or for a higher mode above PR, and it is
// dropped when it would be delivered although it is compatible with the mode of the last completion delivered.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

#include "locks/dlm/lockspace.hpp"

namespace sdlm::dlm {

class DeliveryQueue {
public:
    explicit DeliveryQueue(std::size_t callbacks_max = std::size_t{1} << 20) : callbacks_max_(callbacks_max) {}

    // False: the bound is reached, nothing was queued. Whoever reads so little is to be disconnected.
    [[nodiscard]] bool push(const Callback& callback);
    // The next callback that is to be delivered; it counts as delivered from now on.
    std::optional<Callback> pop();
    // Nothing is left that pop() would return. (Drops what need not be delivered.)
    bool empty();
    std::size_t size() const { return queue_.size(); }   // may count what will be dropped

private:
    struct OfLock {
        std::uint32_t queued = 0;
        std::optional<Mode> delivered;        // mode of the last completion delivered
        std::optional<Mode> last_blocking;    // mode of the newest entry, if that is a blocking notice
    };
    bool needless(const Callback& callback) const;
    void forget(const Callback& callback);

    std::size_t callbacks_max_;
    std::deque<Callback> queue_;
    std::unordered_map<LockId, OfLock> locks_;   // looked up only, never iterated
};

}  // namespace sdlm::dlm
