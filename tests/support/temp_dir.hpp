// SPDX-License-Identifier: LGPL-2.1-or-later
// A directory of its own for one test, removed with all its content at the end.
#pragma once
#include <cstdint>
#include <string>

namespace sdlm::test {

class TempDir {
public:
    TempDir();                                   // under $TMPDIR or /tmp; throws std::system_error
    explicit TempDir(const std::string& parent);
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    const std::string& path() const { return path_; }
    std::string file(const std::string& name) const { return path_ + "/" + name; }
    // A file of `bytes` zeros that take place on the disk; returns its path.
    std::string make_file(const std::string& name, std::uint64_t bytes) const;

private:
    std::string path_;
};

std::string read_file(const std::string& path);                             // empty when it cannot be read
void write_file(const std::string& path, const std::string& content);       // throws std::system_error

}  // namespace sdlm::test
