// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/dlm/delivery_queue.hpp"

#include "disk/base/assert.hpp"
#include "locks/core/mode.hpp"

namespace sdlm::dlm {

bool DeliveryQueue::push(const Callback& callback) {
    const auto found = locks_.find(callback.id);
    if (callback.kind == Callback::Kind::blocking && found != locks_.end() && found->second.last_blocking) {
        const Mode last = *found->second.last_blocking;
        if (last == callback.mode || (last > callback.mode && last > Mode::PR)) return true;
    }
    if (queue_.size() >= callbacks_max_) return false;
    OfLock& l = found != locks_.end() ? found->second : locks_[callback.id];
    ++l.queued;
    if (callback.kind == Callback::Kind::blocking) l.last_blocking = callback.mode;
    else l.last_blocking.reset();
    queue_.push_back(callback);
    return true;
}

bool DeliveryQueue::needless(const Callback& callback) const {
    if (callback.kind != Callback::Kind::blocking) return false;
    const OfLock& l = locks_.at(callback.id);
    return l.delivered && locks::compatible(*l.delivered, callback.mode);
}

// Takes the first entry out of the lock's account.
void DeliveryQueue::forget(const Callback& callback) {
    const auto found = locks_.find(callback.id);
    SDLM_ASSERT(found != locks_.end());
    OfLock& l = found->second;
    if (--l.queued == 0) l.last_blocking.reset();
    if (callback.kind != Callback::Kind::completion) return;
    if (!callback.dead) {
        l.delivered = callback.mode;
        return;
    }
    l.delivered.reset();                  // what follows is of a later lock with the same id
    if (l.queued == 0) locks_.erase(found);
}

std::optional<Callback> DeliveryQueue::pop() {
    while (!queue_.empty()) {
        Callback first = queue_.front();
        queue_.pop_front();
        const bool drop = needless(first);
        forget(first);
        if (!drop) return first;
    }
    return std::nullopt;
}

bool DeliveryQueue::empty() {
    while (!queue_.empty() && needless(queue_.front())) {
        forget(queue_.front());
        queue_.pop_front();
    }
    return queue_.empty();
}

}  // namespace sdlm::dlm
