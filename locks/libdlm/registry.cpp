// SPDX-License-Identifier: LGPL-2.1-or-later
#include "locks/libdlm/registry.hpp"

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "locks/libdlm/control.hpp"

namespace sdlm::client {

class Registry {
public:
    // Never destroyed: threads of the library may outlive exit handlers.
    static Registry& instance() {
        static Registry* const registry = new Registry;
        return *registry;
    }

    Mutex default_mutex;                         // before `mutex`
    Handle* default_handle = nullptr;

    Mutex mutex;
    pthread_cond_t released = PTHREAD_COND_INITIALIZER;
    std::vector<Handle*> open;
    std::uint64_t number = 0;

    static thread_local Use* uses_of_thread;
    static unsigned own_uses(const Handle* handle) {
        unsigned count = 0;
        for (const Use* use = uses_of_thread; use != nullptr; use = use->next_) count += use->handle_ == handle;
        return count;
    }
    template <class Match>
    Handle* find(const Match& match) const {
        const auto found = std::find_if(open.begin(), open.end(), match);
        return found == open.end() ? nullptr : *found;
    }

private:
    Registry() { pthread_atfork(prepare, parent, child); }
    static void prepare() {
        Registry& r = instance();
        r.default_mutex.lock();
        r.mutex.lock();
        for (Handle* handle : r.open) handle->fork_prepare();
    }
    static void parent() {
        Registry& r = instance();
        for (Handle* handle : r.open) handle->fork_parent();
        r.mutex.unlock();
        r.default_mutex.unlock();
    }
    static void child() {
        Registry& r = instance();
        for (Handle* handle : r.open) {
            handle->uses = own_uses(handle);     // the other threads are not here
            handle->fork_child();
        }
        pthread_cond_init(&r.released, nullptr);
        r.mutex.unlock();
        r.default_mutex.unlock();
    }
};

thread_local Use* Registry::uses_of_thread = nullptr;

void Use::link(Handle* handle) {
    handle_ = handle;
    if (handle == nullptr) return;
    ++handle->uses;
    next_ = Registry::uses_of_thread;
    Registry::uses_of_thread = this;
}

void Use::unlink() {
    Use** at = &Registry::uses_of_thread;
    while (*at != this) at = &(*at)->next_;
    *at = next_;
}

Use::Use(void* handle) {
    Registry& r = Registry::instance();
    const Guard guard(r.mutex);
    link(r.find([=](const Handle* h) { return h == handle; }));
}

Use Use::of_fd(int fd) {
    Registry& r = Registry::instance();
    Use use;
    const Guard guard(r.mutex);
    Handle* handle = r.find([=](const Handle* h) { return h->callbacks_fd() == fd; });
    struct stat status {};
    if (handle == nullptr && ::fstat(fd, &status) == 0)
        handle = r.find([&](const Handle* h) { return h->is_callbacks_socket(status.st_ino); });
    use.link(handle);
    return use;
}

Use Use::of_sibling(const Handle& handle, std::uint32_t id) {
    Registry& r = Registry::instance();
    Use use;
    const Guard guard(r.mutex);
    if (r.open.size() > 1)
        use.link(r.find([&](Handle* h) {
            return h != &handle && h->mine() && h->name() == handle.name() && h->run_dir() == handle.run_dir() &&
                   h->knows(id);
        }));
    return use;
}

Use Use::of_open_default() {
    Registry& r = Registry::instance();
    Use use;
    const Guard guard(r.mutex);
    use.link(r.default_handle);
    return use;
}

Use Use::of_default(int& error) {
    Registry& r = Registry::instance();
    error = 0;
    if (Use use = of_open_default()) return use;
    const Guard guard(r.default_mutex);
    if (Use use = of_open_default()) return use;
    Handle* handle = nullptr;
    error = Handle::open("default", handle);
    if (error == ENOENT && (error = create_lockspace("default", 0600, 0)) == 0) error = Handle::open("default", handle);
    if (error != 0) return Use();
    add_handle(handle);
    const Guard registry(r.mutex);
    r.default_handle = handle;
    Use use;
    use.link(handle);
    return use;
}

Use::Use(Use&& other) noexcept {
    if (other.handle_ == nullptr) return;
    other.unlink();
    handle_ = other.handle_;
    other.handle_ = nullptr;
    next_ = Registry::uses_of_thread;
    Registry::uses_of_thread = this;
}

Use::~Use() {
    if (handle_ == nullptr) return;
    unlink();
    Registry& r = Registry::instance();
    bool last = false;
    {
        const Guard guard(r.mutex);
        last = --handle_->uses == 0 && handle_->closed;
        if (!last) pthread_cond_broadcast(&r.released);
    }
    if (last) delete handle_;
}

void add_handle(Handle* handle) {
    Registry& r = Registry::instance();
    const Guard guard(r.mutex);
    r.open.push_back(handle);
}

void close_handle(Use& use) {
    Registry& r = Registry::instance();
    Handle* handle = &*use;
    {
        const Guard guard(r.mutex);
        const auto found = std::find(r.open.begin(), r.open.end(), handle);
        if (found == r.open.end()) return;       // another thread closes it
        r.open.erase(found);
        if (r.default_handle == handle) r.default_handle = nullptr;
    }
    handle->shut();
    const Guard guard(r.mutex);
    while (handle->uses > Registry::own_uses(handle)) pthread_cond_wait(&r.released, &r.mutex.native());
    handle->closed = true;
    handle->close_sockets();
}

std::uint64_t next_number() {
    Registry& r = Registry::instance();
    const Guard guard(r.mutex);
    return (static_cast<std::uint64_t>(::getpid()) << 36) | (++r.number & 0xfffffffffULL);
}

}  // namespace sdlm::client
