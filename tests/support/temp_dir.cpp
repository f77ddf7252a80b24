// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace sdlm::test {
namespace {

std::string default_parent() {
    const char* tmp = std::getenv("TMPDIR");
    return tmp != nullptr && *tmp != '\0' ? tmp : "/tmp";
}

[[noreturn]] void fail(const std::string& what, int error) {
    throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

TempDir::TempDir() : TempDir(default_parent()) {}

TempDir::TempDir(const std::string& parent) : path_(parent + "/sdlm-test-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) fail(path_, errno);
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::make_file(const std::string& name, std::uint64_t bytes) const {
    const std::string path = file(name);
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) fail(path, errno);
    const int rc = bytes == 0 ? 0 : ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
    ::close(fd);
    if (rc != 0) fail(path, rc);
    return path;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& content) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << content;
    file.close();
    if (!file) fail(path, errno);
}

}  // namespace sdlm::test
