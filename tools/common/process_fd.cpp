// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/common/process_fd.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace sdlm::tools {

UniqueFd open_process(pid_t pid) { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

bool process_ended(int process, int patience_ms) {
    pollfd waits{process, POLLIN, 0};
    int rc = -1;
    do rc = ::poll(&waits, 1, patience_ms);
    while (rc < 0 && errno == EINTR);
    return rc > 0;
}

void signal_process(int process, int signal) { ::syscall(SYS_pidfd_send_signal, process, signal, nullptr, 0); }

}  // namespace sdlm::tools
