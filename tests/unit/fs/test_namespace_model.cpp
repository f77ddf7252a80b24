// SPDX-License-Identifier: LGPL-2.1-or-later
// Names, attributes and their errno rules.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>

#include "fs/namespace_model.hpp"
#include "tests/unit/fs/fake_port.hpp"

namespace sdlm::fs::test {

class NamespaceTest : public testing::Test {
protected:
    static Creation creation(mode_t mode, std::int64_t now = 1000) {
        return {.mode = mode, .uid = 7, .gid = 8, .now = now};
    }
    static AttributeChange group(mode_t mode, gid_t gid) {
        return {.mode = mode, .uid = {}, .gid = gid, .atime = {}, .mtime = {}, .ctime = {}};
    }
    Outcome<Attributes> mkdir(const std::string& name, std::int64_t now = 1000) {
        return model.make_directory(root_ino, name, creation(0755, now));
    }
    Outcome<Attributes> mknod(Ino domain, const std::string& name, std::int64_t now = 1000) {
        return model.make_node(domain, name, creation(S_IFREG | 0640, now));
    }
    std::string names(Ino directory) {
        std::string out;
        for (const Entry& entry : model.list(directory).value) out += entry.name + " ";
        return out;
    }

    NoEvents events;
    FakePort port;
    NamespaceModel model{port, events, creation(0755, 500)};
};

TEST_F(NamespaceTest, RootAttributes) {
    const Attributes root = model.attributes(root_ino).value;
    EXPECT_EQ(root.mode, mode_t{S_IFDIR | 0755});
    EXPECT_EQ(root.nlink, 2U);
    EXPECT_EQ(root.bytes, 0U);
    EXPECT_EQ(root.mtime, 500);
    EXPECT_EQ(names(root_ino), ". .. ");
}

TEST_F(NamespaceTest, DomainJoinsAndLeaves) {
    const auto domain = mkdir("d");
    ASSERT_EQ(domain.error, 0);
    EXPECT_EQ(domain.value.mode, mode_t{S_IFDIR | 0755});
    EXPECT_EQ(domain.value.nlink, 2U);
    EXPECT_EQ(domain.value.bytes, 0U);
    EXPECT_EQ(domain.value.uid, 7U);
    EXPECT_EQ(model.attributes(root_ino).value.nlink, 3U);
    EXPECT_EQ(model.attributes(root_ino).value.mtime, 500) << "creating leaves the directory's times alone";
    EXPECT_TRUE(port.joined.contains("d"));
    EXPECT_EQ(mkdir("d").error, EEXIST);
    EXPECT_EQ(model.remove_file(root_ino, "d", 2000), EISDIR);
    EXPECT_EQ(model.remove_directory(root_ino, "d", 2000), 0);
    EXPECT_FALSE(port.joined.contains("d"));
    EXPECT_EQ(model.attributes(root_ino).value.nlink, 2U);
    EXPECT_EQ(model.attributes(root_ino).value.mtime, 2000);
    EXPECT_EQ(model.lookup(root_ino, "d").error, ENOENT);
    EXPECT_EQ(model.remove_directory(root_ino, "d", 2000), ENOENT);
}

TEST_F(NamespaceTest, DomainNames) {
    EXPECT_EQ(mkdir(std::string(63, 'a')).error, 0);
    EXPECT_EQ(mkdir(std::string(64, 'a')).error, EINVAL);
    EXPECT_EQ(mkdir(std::string(255, 'a')).error, EINVAL);
    EXPECT_EQ(mkdir(std::string(256, 'a')).error, ENAMETOOLONG);
    EXPECT_EQ(mkdir("a\nb").error, EINVAL);
    EXPECT_EQ(mkdir("$a").error, 0);
    EXPECT_EQ(model.lookup(root_ino, std::string(255, 'b')).error, ENOENT);
    EXPECT_EQ(model.lookup(root_ino, std::string(256, 'b')).error, ENAMETOOLONG);
}

TEST_F(NamespaceTest, JoiningCanFail) {
    port.join_error = Errc::fenced;
    EXPECT_EQ(mkdir("d").error, EINVAL);
    port.join_error = Errc::exists;
    EXPECT_EQ(mkdir("d").error, EBUSY);
    EXPECT_EQ(names(root_ino), ". .. ");
    EXPECT_EQ(model.attributes(root_ino).value.nlink, 2U);
}

TEST_F(NamespaceTest, LockFiles) {
    const Ino domain = mkdir("d").value.ino;
    const auto lock = mknod(domain, "lock", 1100);
    ASSERT_EQ(lock.error, 0);
    EXPECT_EQ(lock.value.mode, mode_t{S_IFREG | 0640});
    EXPECT_EQ(lock.value.nlink, 1U);
    EXPECT_EQ(lock.value.bytes, 64U);
    EXPECT_EQ(port.only().key, (disk::ResourceKey{"d", "lock"}));
    EXPECT_EQ(mknod(domain, "lock").error, EEXIST);
    EXPECT_EQ(model.attributes(domain).value.mtime, 1000);
    EXPECT_EQ(model.remove_directory(root_ino, "d", 1200), ENOTEMPTY);
    EXPECT_EQ(model.remove_directory(domain, "lock", 1200), ENOTDIR);
    EXPECT_EQ(model.remove_file(domain, "lock", 1200), 0);
    EXPECT_TRUE(port.locks.empty());
    EXPECT_EQ(model.attributes(domain).value.mtime, 1200);
    EXPECT_EQ(model.remove_file(domain, "lock", 1200), ENOENT);
    EXPECT_EQ(model.remove_directory(root_ino, "d", 1200), 0);
}

TEST_F(NamespaceTest, LockNames) {
    const Ino domain = mkdir("d").value.ino;
    EXPECT_EQ(mknod(domain, std::string(31, 'x')).error, 0);
    EXPECT_EQ(mknod(domain, std::string(32, 'x')).error, EINVAL);
    EXPECT_EQ(mknod(domain, "$x").error, EINVAL);
    EXPECT_EQ(mknod(domain, "x$").error, 0);
    EXPECT_EQ(mknod(domain, ".0123456789abcdef").error, 0);
    EXPECT_EQ(mknod(domain, std::string(256, 'x')).error, ENAMETOOLONG);
    port.open_error = Errc::no_space;
    EXPECT_EQ(mknod(domain, "y").error, ENOSPC);
    EXPECT_EQ(model.lookup(domain, "y").error, ENOENT);
}

TEST_F(NamespaceTest, ErrorsByPlace) {
    const Ino domain = mkdir("d").value.ino;
    const Ino lock = mknod(domain, "lock").value.ino;
    EXPECT_EQ(mknod(root_ino, "x").error, EACCES);
    EXPECT_EQ(model.make_directory(domain, "x", creation(0755)).error, EPERM);
    EXPECT_EQ(model.make_node(domain, "x", creation(S_IFIFO | 0600)).error, EPERM);
    EXPECT_EQ(model.make_node(root_ino, "x", creation(S_IFSOCK | 0600)).error, EPERM);
    EXPECT_EQ(model.lookup(lock, "x").error, ENOTDIR);
    EXPECT_EQ(model.lookup(999, "x").error, ENOENT);
    EXPECT_EQ(model.list(lock).error, ENOTDIR);
}

TEST_F(NamespaceTest, ListingIsNewestFirst) {
    const Ino domain = mkdir("d").value.ino;
    for (const char* name : {"b", "a", "c"}) EXPECT_EQ(mknod(domain, name).error, 0);
    EXPECT_EQ(names(domain), ". .. c a b ");
    EXPECT_EQ(model.remove_file(domain, "a", 1), 0);
    EXPECT_EQ(mknod(domain, "a").error, 0);
    EXPECT_EQ(names(domain), ". .. a c b ");
}

TEST_F(NamespaceTest, ChangedAttributesStayWithinTheirBits) {
    const Ino domain = mkdir("d").value.ino;
    const Ino lock = mknod(domain, "lock").value.ino;
    const AttributeChange change{.mode = S_IFDIR | 0400, .uid = 1, .gid = {}, .atime = {}, .mtime = 5, .ctime = {}};
    const auto changed = model.change(lock, change, 3000);
    EXPECT_EQ(changed.value.mode, mode_t{S_IFREG | 0400});
    EXPECT_EQ(changed.value.uid, 1U);
    EXPECT_EQ(changed.value.gid, 8U);
    EXPECT_EQ(changed.value.mtime, 5);
    EXPECT_EQ(changed.value.ctime, 3000);
    EXPECT_EQ(changed.value.bytes, 64U);
    EXPECT_EQ(model.change(lock, {}, 4000).value.ctime, 3000) << "a truncation changes nothing";
}

TEST_F(NamespaceTest, SetGidDirectoriesPassTheGroupOn) {
    const Ino domain = mkdir("d").value.ino;
    EXPECT_EQ(model.change(domain, group(02775, 42), 1).error, 0);
    EXPECT_EQ(mknod(domain, "lock").value.gid, 42U);
    EXPECT_EQ(model.change(root_ino, group(02755, 43), 1).error, 0);
    const Attributes inherited = mkdir("e").value;
    EXPECT_EQ(inherited.gid, 43U);
    EXPECT_EQ(inherited.mode & S_ISGID, mode_t{S_ISGID});
}

TEST_F(NamespaceTest, RemovedInodesLiveUntilForgotten) {
    const Ino domain = mkdir("d").value.ino;
    const Ino lock = mknod(domain, "lock").value.ino;
    EXPECT_EQ(model.lookup(domain, "lock").value.ino, lock);
    EXPECT_EQ(model.remove_file(domain, "lock", 9), 0);
    EXPECT_EQ(model.attributes(lock).value.nlink, 0U);
    EXPECT_EQ(model.open(lock, 1, {}), ENOENT);
    const Ino again = mknod(domain, "lock").value.ino;
    EXPECT_NE(again, lock);
    model.forget(lock, 1);
    EXPECT_EQ(model.attributes(lock).error, 0);
    model.forget(lock, 1);
    EXPECT_EQ(model.attributes(lock).error, ENOENT);
    model.forget(lock, 1);
    model.forget(root_ino, 1000);
    EXPECT_EQ(model.attributes(root_ino).error, 0);
}

}  // namespace sdlm::fs::test
