// SPDX-License-Identifier: LGPL-2.1-or-later
// What happens when, in one total order: events of the same moment run in the order in which they were added.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/sim/sim_time.hpp"

namespace sdlm::sim {

enum class EventKind : std::uint8_t {
    io_step,          // argument: I/O; some of its blocks take effect
    io_done,          // argument: I/O; the process learns of it
    wake,             // the process asked to be called
    client,           // the client load of a process acts
    hold_end,         // argument: key | serial << 16; a client has used its lock long enough
    clients_stopped,  // the clients of a process that was asked to stop have ended
    guardian,         // argument: a dead life, whose host says so in its slot when its clients are gone
    resume,           // a paused process goes on
    start_process,
    end_process,      // a process that has ended its protocol exits
    damage,           // argument: a block of a slot is overwritten
    heal,             // argument: ... and comes back unless its owner has written it meanwhile
    fault,            // the world draws a fault
    quiet,            // faults stop, clients release
};

struct Event {
    Time at = 0;
    std::uint64_t order = 0;
    std::uint64_t argument = 0;
    std::uint32_t life = 0;       // the event is void when the host has another process by then; 0: any
    std::uint16_t host = 0;
    EventKind kind = EventKind::fault;
};

class EventQueue {
public:
    void add(Event event) {
        event.order = next_order_++;
        heap_.push_back(event);
        std::push_heap(heap_.begin(), heap_.end(), later);
    }
    bool empty() const { return heap_.empty(); }
    Event take() {
        std::pop_heap(heap_.begin(), heap_.end(), later);
        const Event event = heap_.back();
        heap_.pop_back();
        return event;
    }

private:
    static bool later(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }
    std::vector<Event> heap_;
    std::uint64_t next_order_ = 0;
};

}  // namespace sdlm::sim
