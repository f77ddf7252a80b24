// SPDX-License-Identifier: LGPL-2.1-or-later
// Requests of the kernel, each answered from the model. CREATE is left out on purpose: the kernel would hold the
// domain's directory locked while a CREATE waits for its lock; MKNOD + OPEN do not.
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "fs/fuse_session.hpp"

namespace sdlm::fs {

namespace {

constexpr unsigned max_write_bytes = 4096;     // the least the kernel takes; an LVB has 64
constexpr unsigned background_max = 0xffff;    // a RELEASE is in the background: no UNLINK must overtake it
constexpr unsigned second_ns = 1'000'000'000;

FuseSession& session_of(fuse_req_t request) { return *static_cast<FuseSession*>(fuse_req_userdata(request)); }
NamespaceModel& model_of(fuse_req_t request) { return session_of(request).model(); }

struct stat to_stat(const Attributes& attributes) {
    struct stat out {};
    out.st_ino = attributes.ino;
    out.st_mode = attributes.mode;
    out.st_nlink = attributes.nlink;
    out.st_uid = attributes.uid;
    out.st_gid = attributes.gid;
    out.st_size = static_cast<off_t>(attributes.bytes);
    out.st_blksize = ::sysconf(_SC_PAGESIZE);
    out.st_atim.tv_sec = attributes.atime;
    out.st_mtim.tv_sec = attributes.mtime;
    out.st_ctim.tv_sec = attributes.ctime;
    return out;
}

Creation creation_of(fuse_req_t request, mode_t mode) {
    const fuse_ctx* caller = fuse_req_ctx(request);
    return {.mode = mode, .uid = caller->uid, .gid = caller->gid, .now = std::time(nullptr)};
}

void reply_entry(fuse_req_t request, const Outcome<Attributes>& outcome) {
    if (outcome.error != 0) {
        fuse_reply_err(request, outcome.error);
        return;
    }
    NamespaceModel& model = model_of(request);
    fuse_entry_param entry{};
    entry.ino = outcome.value.ino;
    entry.attr = to_stat(outcome.value);
    if (fuse_reply_entry(request, &entry) != 0) model.forget(outcome.value.ino, 1);   // the kernel never saw it
}

void reply_attributes(fuse_req_t request, const Outcome<Attributes>& outcome) {
    if (outcome.error != 0) {
        fuse_reply_err(request, outcome.error);
        return;
    }
    const struct stat status = to_stat(outcome.value);
    fuse_reply_attr(request, &status, 0.0);
}

void on_init(void*, fuse_conn_info* connection) {
    // Nothing that caches, splices or reorders. O_TRUNC comes as a SETATTR that changes no size.
    connection->want = connection->capable & FUSE_CAP_PARALLEL_DIROPS;
    connection->max_write = max_write_bytes;
    connection->max_readahead = 0;
    connection->max_background = background_max;
    connection->congestion_threshold = background_max;
    connection->time_gran = second_ns;
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
    reply_entry(request, model_of(request).lookup(parent, name));
}

void on_forget(fuse_req_t request, fuse_ino_t ino, std::uint64_t count) {
    model_of(request).forget(ino, count);
    fuse_reply_none(request);
}

void on_getattr(fuse_req_t request, fuse_ino_t ino, fuse_file_info*) {
    reply_attributes(request, model_of(request).attributes(ino));
}

void on_setattr(fuse_req_t request, fuse_ino_t ino, struct stat* wanted, int to_set, fuse_file_info*) {
    const std::int64_t now = std::time(nullptr);
    const auto asks = [to_set](int bits) { return (to_set & bits) != 0; };
    AttributeChange change;
    if (asks(FUSE_SET_ATTR_MODE)) change.mode = wanted->st_mode;
    if (asks(FUSE_SET_ATTR_UID)) change.uid = wanted->st_uid;
    if (asks(FUSE_SET_ATTR_GID)) change.gid = wanted->st_gid;
    if (asks(FUSE_SET_ATTR_ATIME)) change.atime = wanted->st_atim.tv_sec;
    if (asks(FUSE_SET_ATTR_MTIME)) change.mtime = wanted->st_mtim.tv_sec;
    if (asks(FUSE_SET_ATTR_CTIME)) change.ctime = wanted->st_ctim.tv_sec;
    if (asks(FUSE_SET_ATTR_ATIME_NOW)) change.atime = now;
    if (asks(FUSE_SET_ATTR_MTIME_NOW)) change.mtime = now;
    reply_attributes(request, model_of(request).change(ino, change, now));   // FUSE_SET_ATTR_SIZE: accepted, no effect
}

void on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
    const mode_t typed = (mode & S_IFMT) == 0 ? mode | S_IFREG : mode;
    reply_entry(request, model_of(request).make_node(parent, name, creation_of(request, typed)));
}

void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
    reply_entry(request, model_of(request).make_directory(parent, name, creation_of(request, S_IFDIR | mode)));
}

void on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
    fuse_reply_err(request, model_of(request).remove_file(parent, name, std::time(nullptr)));
}

void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
    fuse_reply_err(request, model_of(request).remove_directory(parent, name, std::time(nullptr)));
}

void on_symlink(fuse_req_t request, const char*, fuse_ino_t, const char*) { fuse_reply_err(request, EPERM); }
void on_link(fuse_req_t request, fuse_ino_t, fuse_ino_t, const char*) { fuse_reply_err(request, EPERM); }
void on_rename(fuse_req_t request, fuse_ino_t, const char*, fuse_ino_t, const char*, unsigned) {
    fuse_reply_err(request, EPERM);
}

void on_open(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
    if ((info->flags & O_DIRECT) != 0) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    session_of(request).request_open(request, ino, info->flags);
}

void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    session_of(request).release_open(info->fh);
    fuse_reply_err(request, 0);
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
    std::array<char, lvb_file_bytes> bytes{};
    const auto room = std::as_writable_bytes(std::span(bytes)).first(std::min(size, bytes.size()));
    const auto outcome = model_of(request).read(info->fh, static_cast<std::uint64_t>(offset), room);
    if (outcome.error != 0) fuse_reply_err(request, outcome.error);
    else fuse_reply_buf(request, bytes.data(), outcome.value);
}

void on_write(fuse_req_t request, fuse_ino_t, const char* bytes, std::size_t size, off_t offset, fuse_file_info* info) {
    // The kernel has put an appending write at the file's size; dlmfs knows no appending.
    const std::uint64_t at = (info->flags & O_APPEND) != 0 ? 0 : static_cast<std::uint64_t>(offset);
    const auto outcome = model_of(request).write(info->fh, at, std::as_bytes(std::span(bytes, size)));
    if (outcome.error != 0) fuse_reply_err(request, outcome.error);
    else fuse_reply_write(request, outcome.value);
}

void on_poll(fuse_req_t request, fuse_ino_t, fuse_file_info* info, fuse_pollhandle* handle) {
    if (handle != nullptr) session_of(request).keep_poll_handle(info->fh, handle);
    fuse_reply_poll(request, model_of(request).poll_events(info->fh));
}

void on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(request, EINVAL); }
void on_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(request, 0); }

// Without this the kernel would copy between two locks by itself.
void on_copy_file_range(fuse_req_t request, fuse_ino_t, off_t, fuse_file_info*, fuse_ino_t, off_t, fuse_file_info*,
                        std::size_t, int) {
    fuse_reply_err(request, EINVAL);
}

void on_opendir(fuse_req_t request, fuse_ino_t ino, fuse_file_info* info) {
    FuseSession& session = session_of(request);
    info->fh = session.open_listing(ino);
    const std::uint64_t listing = info->fh;
    if (fuse_reply_open(request, info) != 0) session.close_listing(listing);
}

void on_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
    const std::vector<Entry>* entries = session_of(request).listing(info->fh, offset == 0);
    std::array<char, 4096> block{};
    const std::size_t room = std::min(size, block.size());
    std::size_t used = 0;
    for (auto at = static_cast<std::size_t>(offset); entries != nullptr && at < entries->size(); ++at) {
        const Entry& entry = (*entries)[at];
        struct stat status {};
        status.st_ino = entry.ino;
        status.st_mode = entry.mode;
        const auto next = static_cast<off_t>(at + 1);
        const std::size_t bytes =
            fuse_add_direntry(request, block.data() + used, room - used, entry.name.c_str(), &status, next);
        if (bytes > room - used) break;
        used += bytes;
    }
    fuse_reply_buf(request, block.data(), used);
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    session_of(request).close_listing(info->fh);
    fuse_reply_err(request, 0);
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
    struct statvfs status {};
    status.f_bsize = status.f_frsize = static_cast<unsigned long>(::sysconf(_SC_PAGESIZE));
    status.f_namemax = name_bytes_max;
    fuse_reply_statfs(request, &status);
}

}  // namespace

const fuse_lowlevel_ops& fuse_operations() {
    static const fuse_lowlevel_ops operations = [] {
        fuse_lowlevel_ops ops{};
        ops.init = on_init;
        ops.lookup = on_lookup;
        ops.forget = on_forget;
        ops.getattr = on_getattr;
        ops.setattr = on_setattr;
        ops.mknod = on_mknod;
        ops.mkdir = on_mkdir;
        ops.unlink = on_unlink;
        ops.rmdir = on_rmdir;
        ops.symlink = on_symlink;
        ops.link = on_link;
        ops.rename = on_rename;
        ops.open = on_open;
        ops.release = on_release;
        ops.read = on_read;
        ops.write = on_write;
        ops.poll = on_poll;
        ops.fsync = on_fsync;
        ops.fsyncdir = on_fsyncdir;
        ops.copy_file_range = on_copy_file_range;
        ops.opendir = on_opendir;
        ops.readdir = on_readdir;
        ops.releasedir = on_releasedir;
        ops.statfs = on_statfs;
        return ops;
    }();
    return operations;
}

}  // namespace sdlm::fs
