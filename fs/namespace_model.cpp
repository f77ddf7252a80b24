// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/namespace_model.hpp"

#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "disk/base/assert.hpp"
#include "disk/base/limits.hpp"
#include "fs/errno_map.hpp"

namespace sdlm::fs {

namespace {

constexpr mode_t permission_bits = 07777;

bool control_character(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
}

// 0 or the errno for creating a domain of that name.
int check_domain_name(std::string_view name) {
    if (name.empty() || name.size() > limits::dlmfs_domain_max) return EINVAL;
    return std::any_of(name.begin(), name.end(), control_character) ? EINVAL : 0;
}

int check_lock_name(std::string_view name) {
    if (name.empty() || name.size() > limits::dlmfs_lock_max) return EINVAL;
    return name.front() == '$' ? EINVAL : 0;
}

}  // namespace

NamespaceModel::NamespaceModel(locks::LockPort& port, locks::LockEvents& events, const Creation& root)
    : port_(port), events_(events) {
    auto node = std::make_unique<Node>();
    node->attributes = {.ino = root_ino, .mode = S_IFDIR | (root.mode & permission_bits), .nlink = 2, .uid = root.uid,
                        .gid = root.gid, .bytes = 0, .atime = root.now, .mtime = root.now, .ctime = root.now};
    node->parent = root_ino;
    node->references = 1;   // the mount's own; never given back
    nodes_.emplace(root_ino, std::move(node));
}

NamespaceModel::Node* NamespaceModel::find(Ino ino) {
    const auto at = nodes_.find(ino);
    return at == nodes_.end() ? nullptr : at->second.get();
}

const NamespaceModel::Node* NamespaceModel::find(Ino ino) const {
    const auto at = nodes_.find(ino);
    return at == nodes_.end() ? nullptr : at->second.get();
}

Outcome<NamespaceModel::Node*> NamespaceModel::child(Ino parent, std::string_view name) {
    if (name.size() > name_bytes_max) return {ENAMETOOLONG, nullptr};
    const Node* directory = find(parent);
    if (directory == nullptr) return {ENOENT, nullptr};
    if (!S_ISDIR(directory->attributes.mode)) return {ENOTDIR, nullptr};
    const auto at = directory->children.find(name);
    if (at == directory->children.end()) return {ENOENT, nullptr};
    return {0, find(at->second)};
}

Outcome<Attributes> NamespaceModel::lookup(Ino parent, std::string_view name) {
    const auto found = child(parent, name);
    if (found.error != 0) return {found.error, {}};
    ++found.value->references;
    return {0, found.value->attributes};
}

void NamespaceModel::forget(Ino ino, std::uint64_t count) {
    Node* node = find(ino);
    if (node == nullptr || ino == root_ino) return;
    node->references -= std::min(count, node->references);
    drop_if_unused(ino);
}

void NamespaceModel::drop_if_unused(Ino ino) {
    const Node* node = find(ino);
    if (node != nullptr && !node->linked && node->references == 0) nodes_.erase(ino);
}

Outcome<Attributes> NamespaceModel::attributes(Ino ino) const {
    const Node* node = find(ino);
    if (node == nullptr) return {ENOENT, {}};
    return {0, node->attributes};
}

Outcome<Attributes> NamespaceModel::change(Ino ino, const AttributeChange& change, std::int64_t now) {
    Node* node = find(ino);
    if (node == nullptr) return {ENOENT, {}};
    Attributes& a = node->attributes;
    if (change.mode) a.mode = (a.mode & S_IFMT) | (*change.mode & permission_bits);
    a.uid = change.uid.value_or(a.uid);
    a.gid = change.gid.value_or(a.gid);
    a.atime = change.atime.value_or(a.atime);
    a.mtime = change.mtime.value_or(a.mtime);
    const bool changed = change.mode || change.uid || change.gid || change.atime || change.mtime;
    a.ctime = change.ctime.value_or(changed ? now : a.ctime);
    return {0, a};
}

NamespaceModel::Node& NamespaceModel::add(Node& parent, std::string_view name, const Creation& creation) {
    auto node = std::make_unique<Node>();
    const bool directory = S_ISDIR(creation.mode);
    node->attributes = {.ino = ++next_ino_, .mode = creation.mode & (S_IFMT | permission_bits),
                        .nlink = directory ? 2U : 1U, .uid = creation.uid, .gid = creation.gid,
                        .bytes = directory ? 0 : lvb_file_bytes, .atime = creation.now, .mtime = creation.now,
                        .ctime = creation.now};
    if ((parent.attributes.mode & S_ISGID) != 0) {
        node->attributes.gid = parent.attributes.gid;
        if (directory) node->attributes.mode |= S_ISGID;
    }
    node->parent = parent.attributes.ino;
    node->name = name;
    node->references = 1;
    parent.children.emplace(name, node->attributes.ino);
    if (directory) ++parent.attributes.nlink;
    const Ino ino = node->attributes.ino;
    return *nodes_.emplace(ino, std::move(node)).first->second;
}

Outcome<Attributes> NamespaceModel::make_directory(Ino parent, std::string_view name, const Creation& creation) {
    const auto existing = child(parent, name);
    if (existing.error == 0) return {EEXIST, {}};
    if (existing.error != ENOENT) return {existing.error, {}};
    if (parent != root_ino) return {find(parent) == nullptr ? ENOENT : EPERM, {}};
    if (const int error = check_domain_name(name); error != 0) return {error, {}};
    if (lease_lost_) return {EIO, {}};
    Node& root = *find(root_ino);
    if (root.children.size() >= domains_max) return {ENOSPC, {}};
    const auto joined = port_.join(std::string(name), events_);
    if (!joined) return {errno_of_join(joined.error().code), {}};
    Creation directory = creation;
    directory.mode = S_IFDIR | (creation.mode & permission_bits);
    return {0, add(root, name, directory).attributes};
}

Outcome<Attributes> NamespaceModel::make_node(Ino parent, std::string_view name, const Creation& creation) {
    const auto existing = child(parent, name);
    if (existing.error == 0) return {EEXIST, {}};
    if (existing.error != ENOENT) return {existing.error, {}};
    Node* domain = find(parent);
    if (domain == nullptr || !domain->linked) return {ENOENT, {}};
    if (!S_ISREG(creation.mode)) return {EPERM, {}};
    if (parent == root_ino) return {EACCES, {}};
    if (const int error = check_lock_name(name); error != 0) return {error, {}};
    if (lease_lost_) return {EIO, {}};
    const auto handle = port_.open({domain->name, std::string(name)});
    if (!handle) return {errno_of_open(handle.error().code), {}};
    Node& node = add(*domain, name, creation);
    node.lock = std::make_unique<LockFile>(port_, *handle);
    handles_.emplace(*handle, node.attributes.ino);
    return {0, node.attributes};
}

void NamespaceModel::unlink(Node& parent, Node& node, std::int64_t now) {
    parent.children.erase(node.name);
    parent.attributes.mtime = parent.attributes.ctime = now;
    if (S_ISDIR(node.attributes.mode)) --parent.attributes.nlink;
    node.linked = false;
    node.attributes.nlink = 0;
    node.attributes.ctime = now;
    drop_if_unused(node.attributes.ino);
}

int NamespaceModel::remove_file(Ino parent, std::string_view name, std::int64_t now) {
    const auto found = child(parent, name);
    if (found.error != 0) return found.error;
    Node& node = *found.value;
    if (S_ISDIR(node.attributes.mode)) return EISDIR;
    if (node.lock->in_use()) return EBUSY;
    handles_.erase(node.lock->handle());
    if (!lease_lost_) port_.close(node.lock->handle());
    node.lock.reset();
    unlink(*find(parent), node, now);
    return 0;
}

int NamespaceModel::remove_directory(Ino parent, std::string_view name, std::int64_t now) {
    const auto found = child(parent, name);
    if (found.error != 0) return found.error;
    Node& node = *found.value;
    if (!S_ISDIR(node.attributes.mode)) return ENOTDIR;
    if (!node.children.empty()) return ENOTEMPTY;
    if (!lease_lost_) port_.leave(node.name);
    unlink(*find(parent), node, now);
    return 0;
}

Outcome<std::vector<Entry>> NamespaceModel::list(Ino directory) const {
    const Node* node = find(directory);
    if (node == nullptr) return {ENOENT, {}};
    if (!S_ISDIR(node->attributes.mode)) return {ENOTDIR, {}};
    std::vector<Entry> entries;
    for (const auto& [name, ino] : node->children) entries.push_back({name, ino, find(ino)->attributes.mode});
    // Inode numbers only grow, so they tell the age.
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.ino > b.ino; });
    const Entry self{".", directory, S_IFDIR};
    const Entry parent{"..", node->parent, S_IFDIR};
    entries.insert(entries.begin(), {self, parent});
    return {0, std::move(entries)};
}

int NamespaceModel::open(Ino ino, OpenId id, OpenMode mode) {
    Node* node = find(ino);
    if (node == nullptr) return ENOENT;
    if (node->lock == nullptr) return S_ISDIR(node->attributes.mode) ? EISDIR : ENOENT;
    if (lease_lost_) return EIO;
    if (waiting_count_ >= waiting_opens_max) return ENFILE;
    SDLM_ASSERT(!opens_.contains(id));
    opens_.emplace(id, ino);
    ++waiting_count_;
    Effects due;
    node->lock->open(id, mode, due);
    absorb(std::move(due));
    return 0;
}

// Every effect of a lock file passes here: an answered open waits no more, a refused one is forgotten.
void NamespaceModel::absorb(Effects due) {
    for (const OpenAnswer& answer : due.answers) {
        SDLM_ASSERT(waiting_count_ > 0);
        --waiting_count_;
        if (answer.error != 0) opens_.erase(answer.open);
        effects_.answers.push_back(answer);
    }
    effects_.wakes.insert(effects_.wakes.end(), due.wakes.begin(), due.wakes.end());
}

LockFile* NamespaceModel::file_of(OpenId id) const {
    const auto at = opens_.find(id);
    return at == opens_.end() ? nullptr : find(at->second)->lock.get();
}

LockFile* NamespaceModel::file_of_handle(locks::Handle handle) {
    const auto at = handles_.find(handle);
    return at == handles_.end() ? nullptr : find(at->second)->lock.get();
}

bool NamespaceModel::withdraw(OpenId id) {
    LockFile* file = file_of(id);
    Effects due;
    if (file == nullptr || !file->withdraw(id, due)) return false;
    opens_.erase(id);
    --waiting_count_;
    absorb(std::move(due));
    return true;
}

void NamespaceModel::expire(OpenId id) {
    Effects due;
    if (LockFile* file = file_of(id)) file->expire(id, due);
    absorb(std::move(due));
}

void NamespaceModel::release(OpenId id) {
    LockFile* file = file_of(id);
    if (file == nullptr) return;
    SDLM_ASSERT(file->has_descriptor(id));
    Effects due;
    file->release(id, due);
    opens_.erase(id);
    absorb(std::move(due));
}

bool NamespaceModel::waiting(OpenId id) const {
    const LockFile* file = file_of(id);
    return file != nullptr && !file->has_descriptor(id);
}

Outcome<std::size_t> NamespaceModel::read(OpenId id, std::uint64_t offset, std::span<std::byte> out) const {
    const LockFile* file = file_of(id);
    if (file == nullptr || !file->has_descriptor(id)) return {EBADF, 0};
    if (lease_lost_) return {EIO, 0};
    return {0, file->read(offset, out)};
}

Outcome<std::size_t> NamespaceModel::write(OpenId id, std::uint64_t offset, std::span<const std::byte> bytes) {
    LockFile* file = file_of(id);
    if (file == nullptr) return {EBADF, 0};
    if (lease_lost_) return {EIO, 0};
    const int count = file->write(id, offset, bytes);
    if (count < 0) return {-count, 0};
    return {0, static_cast<std::size_t>(count)};
}

std::uint32_t NamespaceModel::poll_events(OpenId id) const {
    if (lease_lost_) return POLLERR | POLLHUP;
    const LockFile* file = file_of(id);
    return file != nullptr && file->marked_blocked() ? POLLIN | POLLRDNORM : 0;
}

void NamespaceModel::granted(locks::Handle handle, locks::Mode mode) {
    Effects due;
    if (LockFile* file = file_of_handle(handle)) file->granted(mode, due);
    absorb(std::move(due));
}

void NamespaceModel::refused(locks::Handle handle, locks::Refusal why) {
    Effects due;
    if (LockFile* file = file_of_handle(handle)) file->refused(why, due);
    absorb(std::move(due));
}

void NamespaceModel::blocked(locks::Handle handle, locks::Mode mode) {
    Effects due;
    if (LockFile* file = file_of_handle(handle)) file->blocked(mode, due);
    absorb(std::move(due));
}

void NamespaceModel::lease_lost() {
    lease_lost_ = true;
    Effects due;
    for (const auto& [handle, ino] : handles_) find(ino)->lock->lease_lost(due);
    absorb(std::move(due));
}

void NamespaceModel::shut_down() {
    Effects due;
    for (const auto& [handle, ino] : handles_) find(ino)->lock->fail_waiting(EIO, due);
    absorb(std::move(due));
    for (const auto& [handle, ino] : handles_) {
        if (!lease_lost_) port_.close(handle);
        find(ino)->lock.reset();
    }
    handles_.clear();
    opens_.clear();
    Node& root = *find(root_ino);
    for (const auto& [name, ino] : root.children) {
        if (!lease_lost_) port_.leave(name);
        find(ino)->children.clear();
    }
    root.children.clear();
}

ModelStatus NamespaceModel::status() const {
    return {.domains = find(root_ino)->children.size(), .files = handles_.size(),
            .descriptors = opens_.size() - waiting_count_, .waiting_opens = waiting_count_};
}

Effects NamespaceModel::take_effects() { return std::exchange(effects_, {}); }

}  // namespace sdlm::fs
