// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory shared with one client: the ring of its requests. Its size is sealed, so that a client cannot take pages away.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "locks/wire/request_ring.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

class ClientRing {
public:
    ClientRing() = default;
    // Empty when the system has no memory or descriptor for it: the client then uses its socket.
    // `fd` is for the client; the daemon needs it no more after that.
    static ClientRing create(UniqueFd& fd) {
        ClientRing ring;
        fd = UniqueFd(::memfd_create("sdlm-requests", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        if (!fd || ::ftruncate(fd.get(), wire::ring_mapping_bytes) != 0 ||
            ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
            fd.reset();
            return ring;
        }
        void* memory = ::mmap(nullptr, wire::ring_mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
        if (memory == MAP_FAILED) fd.reset();
        else ring.memory_ = memory;
        return ring;
    }
    ClientRing(ClientRing&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
    ClientRing& operator=(ClientRing&&) = delete;
    ~ClientRing() {
        if (memory_ != nullptr) ::munmap(memory_, wire::ring_mapping_bytes);
    }
    wire::RingReader reader() const { return memory_ == nullptr ? wire::RingReader() : wire::RingReader(memory_); }

private:
    void* memory_ = nullptr;
};

}  // namespace sdlm::tools
