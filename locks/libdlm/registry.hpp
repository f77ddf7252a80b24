// SPDX-License-Identifier: LGPL-2.1-or-later
// The open handles of this process. A handle is used through a Use, so that a close in one thread waits for the calls
// of the others, and a close from inside a callback does not wait for itself.
#pragma once
#include <string_view>

#include "locks/libdlm/handle.hpp"

namespace sdlm::client {

class Use {
public:
    Use() = default;
    explicit Use(void* handle);                  // empty unless it is an open handle
    static Use of_fd(int fd);                    // also under another number (dup)
    // Another handle of the same lockspace through which this process made the lock.
    static Use of_sibling(const Handle& handle, std::uint32_t id);
    // Opens it, or makes it and opens it, on first use. Empty: `error` is set.
    static Use of_default(int& error);
    static Use of_open_default();                // empty: not opened
    Use(Use&& other) noexcept;
    Use& operator=(Use&&) = delete;
    ~Use();
    explicit operator bool() const { return handle_ != nullptr; }
    Handle* operator->() const { return handle_; }
    Handle& operator*() const { return *handle_; }

private:
    friend class Registry;
    void link(Handle* handle);
    void unlink();
    Handle* handle_ = nullptr;
    Use* next_ = nullptr;                        // of this thread
};

void add_handle(Handle* handle);
void close_handle(Use& use);
std::uint64_t next_number();                     // for waiters; never the same in a forked child

}  // namespace sdlm::client
