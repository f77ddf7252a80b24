// SPDX-License-Identifier: LGPL-2.1-or-later
// What a lockspace of one node has to answer, written a second time straight from the description of the DLM's
// semantics, as plainly as possible. Shares no code with locks/dlm; only the call types and flag numbers are the same.
#pragma once
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "locks/dlm/lockspace.hpp"

namespace sdlm::dlm::test {

class ReferenceModel {
public:
    using Id = std::uint64_t;              // never re-used, unlike the real ones
    struct Event {
        bool blocking = false;
        Id id = 0;
        OwnerId owner = 0;
        int status = 0;
        int sb_flags = 0;
        int mode = 0;
        bool dead = false;
        bool has_lvb = false;
        LvbBytes lvb{};
        Cookies cookies;
    };
    struct Answer {
        int error = 0;
        Id id = 0;
        bool completes = false;
    };

    void add_owner(OwnerId owner, std::uint32_t process) { process_of_[owner] = process; }
    void remove_owner(OwnerId owner);
    Answer lock(const LockCall& call, Id id, Instant now);      // id: of a conversion
    Answer unlock(const UnlockCall& call, Id id);
    Answer deadlock_cancel(OwnerId owner, Id id);
    void purge(const PurgeCall& call);
    void expire(Instant now);

    std::vector<Event> events;

    struct Lock {
        Id id = 0;
        OwnerId owner = 0;                 // 0: orphan
        std::uint32_t process = 0, tid = 0, flags = 0;
        Cookies cookies;
        int granted = -1, wanted = -1;     // -1: none
        int told = -1;
        int sb_flags = 0;
        LvbBytes buffer{};
        Instant deadline = never;
        std::uint64_t orphaned = 0, owned = 0;            // since when
    };
    struct Resource {
        std::vector<Id> granted, converting, waiting;     // granted: newest first
        LvbBytes value{};
        bool valid = true;
    };
    const std::map<Id, Lock>& locks() const { return locks_; }
    const std::map<std::string, Resource>& resources() const { return resources_; }

private:
    bool busy(const Lock& l) const { return l.wanted >= 0; }
    Resource& of(Id id) { return resources_.at(name_of_.at(id)); }
    bool fits(const Resource& r, const Lock& l, int mode) const;
    bool may(const Resource& r, const Lock& l, int mode, bool arriving) const;
    bool deadlocked(const Resource& r, const Lock& l, bool arriving) const;
    bool try_other(Resource& r, Lock& l, bool arriving);
    void arrive(Resource& r, Lock& l);
    void queue(Resource& r, Lock& l);
    void grant(Resource& r, Lock& l, int mode);
    void scan_converting(Resource& r);
    void scan(Resource& r);
    void tell(Lock& l, int mode);
    void tell_all(Resource& r, const std::vector<Id>& whom, Id self, int mode);
    void completion(const Lock& l, int status, bool dead);
    void end_operation(Lock& l);
    void erase(Id id);
    void cancel(Lock& l, int status);
    void drop(const std::vector<Id>& ids, bool orphans);
    Lock* find(OwnerId owner, Id id);
    std::vector<Id> owned_by(OwnerId owner) const;

    std::map<Id, Lock> locks_;
    std::map<Id, std::string> name_of_;
    std::map<std::string, Resource> resources_;
    std::map<OwnerId, std::uint32_t> process_of_;
    Id last_id_ = 0;
    std::uint64_t changes_of_owner_ = 0;
};

}  // namespace sdlm::dlm::test
