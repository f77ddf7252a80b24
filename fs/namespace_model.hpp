// SPDX-License-Identifier: LGPL-2.1-or-later
// The dlmfs tree of one mount: root, domains, lock files, with their attributes, open descriptors and errno rules.
// No FUSE, no I/O, no clock (`now` is an argument). Events of the node come in through granted() ... lease_lost();
// what is due towards programs goes out through take_effects(). see fs/DLMFS.md
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fs/lock_file.hpp"

namespace sdlm::fs {

// Inode numbers are never reused, so a stale one of the kernel can never name another lock.
using Ino = std::uint64_t;
inline constexpr Ino root_ino = 1;
inline constexpr std::size_t name_bytes_max = 255;         // a longer one is ENAMETOOLONG wherever it comes up
inline constexpr std::size_t waiting_opens_max = 16384;    // per mount; then ENFILE
inline constexpr std::size_t domains_max = 4096;           // per mount; then ENOSPC

struct Attributes {
    Ino ino = 0;
    mode_t mode = 0;                  // with the type bits
    std::uint32_t nlink = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint64_t bytes = 0;
    std::int64_t atime = 0, mtime = 0, ctime = 0;   // whole seconds since 1970, as in the kernel's dlmfs
};

struct AttributeChange {
    std::optional<mode_t> mode;
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::optional<std::int64_t> atime, mtime, ctime;
};

struct Creation {
    mode_t mode = 0;                  // type and permission bits, umask already applied
    uid_t uid = 0;
    gid_t gid = 0;
    std::int64_t now = 0;
};

struct Entry {
    std::string name;
    Ino ino = 0;
    mode_t mode = 0;
};

struct ModelStatus {
    std::size_t domains = 0, files = 0, descriptors = 0, waiting_opens = 0;
};

// A value, or the errno of the file call.
template <class T>
struct [[nodiscard]] Outcome {
    int error = 0;
    T value{};
};

class NamespaceModel {
public:
    // `events` is handed to the port with every join; it must pass the events on to this object.
    NamespaceModel(locks::LockPort& port, locks::LockEvents& events, const Creation& root);
    NamespaceModel(const NamespaceModel&) = delete;
    NamespaceModel& operator=(const NamespaceModel&) = delete;

    // Names. lookup, make_directory and make_node count one kernel reference to the inode, given back by forget.
    Outcome<Attributes> lookup(Ino parent, std::string_view name);
    void forget(Ino ino, std::uint64_t count);
    Outcome<Attributes> attributes(Ino ino) const;
    Outcome<Attributes> change(Ino ino, const AttributeChange& change, std::int64_t now);
    Outcome<Attributes> make_directory(Ino parent, std::string_view name, const Creation& creation);
    Outcome<Attributes> make_node(Ino parent, std::string_view name, const Creation& creation);
    [[nodiscard]] int remove_file(Ino parent, std::string_view name, std::int64_t now);
    [[nodiscard]] int remove_directory(Ino parent, std::string_view name, std::int64_t now);
    // "." and "..", then newest first.
    Outcome<std::vector<Entry>> list(Ino directory) const;

    // Opens: 0 when the request is accepted; its answer comes with the effects, at once or later.
    [[nodiscard]] int open(Ino ino, OpenId id, OpenMode mode);
    bool withdraw(OpenId id);
    void expire(OpenId id);
    void release(OpenId id);
    bool waiting(OpenId id) const;
    Outcome<std::size_t> read(OpenId id, std::uint64_t offset, std::span<std::byte> out) const;
    Outcome<std::size_t> write(OpenId id, std::uint64_t offset, std::span<const std::byte> bytes);
    // POLLIN | POLLRDNORM while another node waits, POLLERR | POLLHUP after the lease; else 0.
    std::uint32_t poll_events(OpenId id) const;

    void granted(locks::Handle handle, locks::Mode mode);
    void refused(locks::Handle handle, locks::Refusal why);
    void blocked(locks::Handle handle, locks::Mode mode);
    void lease_lost();

    // For the end of the mount: every waiting open fails with EIO, every hold is dropped, every domain left.
    void shut_down();
    Effects take_effects();
    ModelStatus status() const;

private:
    struct Node {
        Attributes attributes;
        Ino parent = 0;
        std::string name;
        bool linked = true;                            // false: unlinked, kept for the kernel's references
        std::uint64_t references = 0;
        std::map<std::string, Ino, std::less<>> children;
        std::unique_ptr<LockFile> lock;                // lock files only, while linked
    };

    Node* find(Ino ino);
    const Node* find(Ino ino) const;
    Outcome<Node*> child(Ino parent, std::string_view name);
    Node& add(Node& parent, std::string_view name, const Creation& creation);
    void unlink(Node& parent, Node& node, std::int64_t now);
    void drop_if_unused(Ino ino);
    LockFile* file_of(OpenId id) const;
    LockFile* file_of_handle(locks::Handle handle);
    void absorb(Effects due);

    locks::LockPort& port_;
    locks::LockEvents& events_;
    std::map<Ino, std::unique_ptr<Node>> nodes_;
    Ino next_ino_ = root_ino;
    std::map<OpenId, Ino> opens_;                      // waiting and granted
    std::size_t waiting_count_ = 0;
    std::map<locks::Handle, Ino> handles_;
    Effects effects_;
    bool lease_lost_ = false;
};

}  // namespace sdlm::fs
