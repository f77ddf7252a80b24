// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls on a dlmfs tree, one per line: a letter and a path "DOMAIN" or "DOMAIN/LOCK" (any bytes but newline; what the
// kernel sends has no zero byte and no '/' in a name), or a number:
//   d, D: mkdir, rmdir   f, u: mknod, unlink   o, O, n: open for reading, for writing, O_NONBLOCK   l: list
//   c: close, i: give up the open NUMBER   g: the node grants, r: refuses, b: another node waits   x: the lease is over
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "disk/base/limits.hpp"
#include "fs/namespace_model.hpp"
#include "locks/core/mode.hpp"
#include "tests/fuzz/fuzz_block.hpp"

using namespace sdlm;

namespace {

constexpr std::size_t calls_max = 400;

// Keeps the rules of the border: handles closed before their lockspace is left, nothing used that was not granted.
class Port final : public locks::LockPort {
public:
    struct Lock {
        disk::ResourceKey key;
        locks::Demand demand;
        locks::Mode granted = locks::Mode::NL;
    };

    Result<void> join(const std::string& lockspace, locks::LockEvents&) override {
        SDLM_ASSERT(!lockspace.empty() && lockspace.size() <= limits::dlmfs_domain_max);
        SDLM_ASSERT(lockspace.find('/') == std::string::npos);
        SDLM_ASSERT(joined.insert(lockspace).second);
        return {};
    }
    void leave(const std::string& lockspace) override {
        for (const auto& [handle, lock] : locks) SDLM_ASSERT(lock.key.lockspace != lockspace);
        SDLM_ASSERT(joined.erase(lockspace) == 1);
    }
    Result<locks::Handle> open(const disk::ResourceKey& key) override {
        SDLM_ASSERT(joined.contains(key.lockspace));
        SDLM_ASSERT(!key.name.empty() && key.name.size() <= limits::dlmfs_lock_max);
        locks[++last].key = key;
        return last;
    }
    void close(locks::Handle handle) override { SDLM_ASSERT(locks.erase(handle) == 1); }
    void set_demand(locks::Handle handle, const locks::Demand& demand) override {
        Lock& lock = locks.at(handle);
        SDLM_ASSERT(locks::covers(lock.granted, demand.used));
        lock.granted = demand.used;
        lock.demand = demand;
    }
    const locks::Lvb& lvb(locks::Handle) const override { return value; }
    void write_lvb(locks::Handle, std::span<const std::byte>, bool) override { SDLM_UNREACHABLE(); }
    locks::Mode held(locks::Handle handle) const override { return locks.at(handle).granted; }

    std::map<locks::Handle, Lock> locks;
    std::set<std::string> joined;
    locks::Handle last = 0;
    locks::Lvb value;
};

struct NoEvents final : locks::LockEvents {
    void granted(locks::Handle, locks::Mode, const locks::Lvb&) override {}
    void refused(locks::Handle, locks::Refusal) override {}
    void blocked(locks::Handle, locks::Mode) override {}
    void lease_lost() override {}
};

class Run {
public:
    void call(char what, std::string_view path);
    void finish();

private:
    struct Place {
        fs::Ino parent = 0;
        std::string_view name;
    };
    // False when the domain of "DOMAIN/LOCK" is not there: the kernel would not ask further.
    bool place(std::string_view path, Place& out);
    void open(std::string_view path, fs::OpenMode mode);
    void settle();
    template <class Event>
    void on_some_lock(std::string_view number, Event event);

    Port port_;
    NoEvents events_;
    fs::NamespaceModel model_{port_, events_, {.mode = S_IFDIR | 0755}};
    fs::OpenId last_open_ = 0;
    std::set<fs::OpenId> unanswered_, open_;
    bool lost_ = false;
};

// What the kernel's own checks let through.
bool kernel_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
           name.find('\0') == std::string_view::npos;
}

bool Run::place(std::string_view path, Place& out) {
    const auto slash = path.find('/');
    out = {fs::root_ino, path.substr(0, slash)};
    if (!kernel_name(out.name)) return false;
    if (slash == std::string_view::npos) return true;
    const auto domain = model_.lookup(fs::root_ino, out.name);
    if (domain.error != 0) return false;
    model_.forget(domain.value.ino, 1);
    out = {domain.value.ino, path.substr(slash + 1)};
    return kernel_name(out.name);
}

void Run::open(std::string_view path, fs::OpenMode mode) {
    Place at;
    if (!place(path, at)) return;
    const auto found = model_.lookup(at.parent, at.name);
    if (found.error != 0) return;
    const fs::OpenId id = ++last_open_;
    const int error = model_.open(found.value.ino, id, mode);
    if (error == 0) unanswered_.insert(id);
    model_.forget(found.value.ino, 1);
    settle();
}

// Every accepted open is answered once.
void Run::settle() {
    for (const auto& answer : model_.take_effects().answers) {
        SDLM_ASSERT(unanswered_.erase(answer.open) == 1);
        if (answer.error == 0) open_.insert(answer.open);
    }
    SDLM_ASSERT(model_.status().waiting_opens == unanswered_.size());
    SDLM_ASSERT(model_.status().descriptors == open_.size());
    SDLM_ASSERT(model_.status().domains == port_.joined.size() || lost_);
}

template <class Event>
void Run::on_some_lock(std::string_view number, Event event) {
    if (port_.locks.empty() || lost_) return;
    const std::size_t n = std::strtoul(std::string(number).c_str(), nullptr, 10) % port_.locks.size();
    auto at = port_.locks.begin();
    std::advance(at, n);
    event(at->first, at->second);
}

void Run::call(char what, std::string_view path) {
    const fs::OpenId id = std::strtoul(std::string(path).c_str(), nullptr, 10);
    Place at;
    switch (what) {
        case 'd':
        case 'f': {
            if (!place(path, at)) break;
            const bool directory = what == 'd';
            const auto made = directory ? model_.make_directory(at.parent, at.name, {.mode = S_IFDIR | 0755})
                                        : model_.make_node(at.parent, at.name, {.mode = S_IFREG | 0644});
            const auto found = model_.lookup(at.parent, at.name);
            SDLM_ASSERT(made.error != 0 || (found.error == 0 && found.value.ino == made.value.ino));
            if (made.error == 0) model_.forget(made.value.ino, 1);
            if (found.error == 0) model_.forget(found.value.ino, 1);
            break;
        }
        case 'D':
        case 'u': {
            if (!place(path, at)) break;
            const int error = what == 'D' ? model_.remove_directory(at.parent, at.name, 0)
                                          : model_.remove_file(at.parent, at.name, 0);
            if (error == 0) SDLM_ASSERT(model_.lookup(at.parent, at.name).error == ENOENT);
            break;
        }
        case 'o': open(path, {.level = locks::Mode::PR}); break;
        case 'O': open(path, {.level = locks::Mode::EX}); break;
        case 'n': open(path, {.level = locks::Mode::EX, .nonblock = true}); break;
        case 'l':
            for (const auto& entry : model_.list(fs::root_ino).value)
                SDLM_ASSERT(entry.name.front() == '.' || model_.list(entry.ino).error == 0);
            break;
        case 'c':
            if (open_.erase(id) == 1) model_.release(id);
            break;
        case 'i':
            if (model_.withdraw(id)) SDLM_ASSERT(unanswered_.erase(id) == 1);
            break;
        case 'g':
            on_some_lock(path, [this](locks::Handle handle, Port::Lock& lock) {
                if (!lock.demand.want) return;
                const auto mode = lock.demand.want->mode;
                lock.granted = locks::join(lock.granted, mode);
                lock.demand.want.reset();
                model_.granted(handle, mode);
            });
            break;
        case 'r':
            on_some_lock(path, [this](locks::Handle handle, Port::Lock& lock) {
                if (!lock.demand.want) return;
                lock.demand.want.reset();
                model_.refused(handle, locks::Refusal::would_block);
            });
            break;
        case 'b':
            on_some_lock(path, [this](locks::Handle handle, Port::Lock&) {
                model_.blocked(handle, locks::Mode::EX);
            });
            break;
        case 'x':
            if (!std::exchange(lost_, true)) model_.lease_lost();
            break;
        default: break;
    }
    settle();
}

void Run::finish() {
    model_.shut_down();
    for (const auto& answer : model_.take_effects().answers) SDLM_ASSERT(unanswered_.erase(answer.open) == 1);
    SDLM_ASSERT(unanswered_.empty());
    SDLM_ASSERT(lost_ || (port_.locks.empty() && port_.joined.empty()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    std::string_view left = text;
    Run run;
    for (std::size_t i = 0; i < calls_max && !left.empty(); ++i) {
        const auto end = left.find('\n');
        const auto line = left.substr(0, end);
        left = end == std::string_view::npos ? std::string_view() : left.substr(end + 1);
        if (!line.empty()) run.call(line.front(), line.substr(line.size() > 1 && line[1] == ' ' ? 2 : 1));
    }
    run.finish();
    return 0;
}
