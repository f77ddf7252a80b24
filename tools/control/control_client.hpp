// SPDX-License-Identifier: LGPL-2.1-or-later
// The tools' end of the control socket. Blocking, every wait bounded; every failure comes with a sentence for people.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>

#include <nlohmann/json.hpp>

#include "disk/base/instant.hpp"
#include "disk/base/result.hpp"
#include "tools/common/unique_fd.hpp"

namespace sdlm::tools {

inline constexpr Duration control_patience = milliseconds(10'000);   // without a single byte from the daemon

class ControlClient {
public:
    // not_found: no daemon there; io: the kernel said so; `message` gets the sentence.
    static Result<ControlClient> connect(const std::string& run_dir, std::string& message,
                                         Duration patience = control_patience);
    ControlClient(ControlClient&&) noexcept = default;
    ControlClient& operator=(ControlClient&&) noexcept = default;

    // The daemon's process, as the kernel knows it.
    pid_t pid() const { return pid_; }

    // Sends {"v":1,"cmd":cmd} and the members of `arguments`; hands every line of the reply to `on_line`.
    Result<void> call(const std::string& cmd, nlohmann::json arguments,
                      const std::function<void(const nlohmann::json& line)>& on_line, std::string& message);
    // The lines of the reply put together: arrays and objects joined, other members of the last line that has them.
    Result<nlohmann::json> call(const std::string& cmd, nlohmann::json arguments, std::string& message);

    // Waits until the daemon's process has ended; timeout when it has not.
    Result<void> wait_exit(Duration patience, std::string& message);

private:
    ControlClient() = default;
    Result<void> send_line(const std::string& line, std::string& message);
    Result<std::string> receive_line(std::string& message);
    Error fail(Error error, const std::string& what, std::string& message) const;

    std::string run_dir_;
    UniqueFd fd_;
    UniqueFd process_;            // pidfd: a reused pid cannot be mistaken for the daemon
    pid_t pid_ = 0;
    Duration patience_;
    std::string in_;
};

}  // namespace sdlm::tools
