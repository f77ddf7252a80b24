// SPDX-License-Identifier: LGPL-2.1-or-later
#include "disk/io/uring_setup.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace sdlm::disk {
namespace {

// Best first: deferred task work (6.1), one issuer (6.0), no inter-processor interrupts (5.19), nothing special.
constexpr std::array<unsigned, 4> flag_tiers{
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    0,
};

struct NeededOp {
    int code;
    const char* name;
};
constexpr std::array<NeededOp, 6> needed_ops{{
    {IORING_OP_READ, "IORING_OP_READ"},
    {IORING_OP_WRITE, "IORING_OP_WRITE"},
    {IORING_OP_READ_FIXED, "IORING_OP_READ_FIXED"},
    {IORING_OP_WRITE_FIXED, "IORING_OP_WRITE_FIXED"},
    {IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD"},
    {IORING_OP_POLL_REMOVE, "IORING_OP_POLL_REMOVE"},
}};

int read_disabled_sysctl() {
    std::ifstream file("/proc/sys/kernel/io_uring_disabled");
    int value = -1;
    return file >> value ? value : -1;
}

std::string missing_in(io_uring& ring) {
    if ((ring.features & IORING_FEAT_NODROP) == 0) return "IORING_FEAT_NODROP";
    if ((ring.features & IORING_FEAT_EXT_ARG) == 0) return "IORING_FEAT_EXT_ARG";
    io_uring_probe* probe = io_uring_get_probe_ring(&ring);
    if (probe == nullptr) return "IORING_REGISTER_PROBE";
    std::string missing;
    for (const NeededOp& op : needed_ops) {
        if (missing.empty() && io_uring_opcode_supported(probe, op.code) == 0) missing = op.name;
    }
    io_uring_free_probe(probe);
    return missing;
}

}  // namespace

std::string setup_failure(int os_errno, int disabled) {
    const std::string start = std::string("io_uring cannot be set up: ") + std::strerror(os_errno) + ": ";
    switch (os_errno) {
        case ENOSYS:
            return start + "the kernel has no io_uring, or a seccomp filter (container) hides it; "
                           "run on Linux 5.11 or newer, and allow io_uring_setup, io_uring_enter and io_uring_register";
        case EPERM:
        case EACCES:
            if (disabled == 2)
                return start + "it is switched off by the sysctl kernel.io_uring_disabled=2; set it to 0 (or 1)";
            if (disabled == 1)
                return start + "the sysctl kernel.io_uring_disabled=1 leaves it to CAP_SYS_ADMIN and the group "
                               "kernel.io_uring_group; run as root, join that group, or set it to 0";
            return start + "a security policy forbids it (seccomp filter of a container, SELinux); "
                           "allow io_uring_setup, io_uring_enter and io_uring_register";
        case ENOMEM:
            return start + "not enough lockable memory; raise RLIMIT_MEMLOCK (ulimit -l, LimitMEMLOCK=)";
        case EMFILE:
        case ENFILE:
            return start + "no descriptor left; raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)";
        default:
            return start + "run on Linux 5.11 or newer";
    }
}

Result<void> open_ring(unsigned entries, io_uring& ring, std::string& message) {
    int rc = -EINVAL;
    for (std::size_t tier = 0; rc == -EINVAL && tier < flag_tiers.size(); ++tier) {
        io_uring_params params{};
        params.flags = flag_tiers[tier] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        params.cq_entries = entries * completions_per_entry;
        rc = io_uring_queue_init_params(entries, &ring, &params);
    }
    if (rc < 0) {
        message = setup_failure(-rc, read_disabled_sysctl());
        const bool scarce = rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
        return Error{scarce ? Errc::io : Errc::unsupported, -rc, 0, "io_uring_setup"};
    }
    if (const std::string missing = missing_in(ring); !missing.empty()) {
        message = "this kernel's io_uring lacks " + missing + "; run on Linux 5.11 or newer";
        io_uring_queue_exit(&ring);
        return Error{Errc::unsupported, ENOSYS, 0, "io_uring features"};
    }
    return {};
}

}  // namespace sdlm::disk
