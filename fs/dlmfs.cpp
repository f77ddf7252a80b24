// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fs/dlmfs.hpp"

#include <utility>

#include "fs/fuse_session.hpp"

namespace sdlm::fs {

Result<std::unique_ptr<Dlmfs>> Dlmfs::create(disk::Reactor& reactor, locks::LockPort& port, MountOptions options,
                                             std::string& message) {
    if (options.path.empty()) {
        message = "no mount directory given: name an existing directory";
        return Error{Errc::bad_argument, 0, 0, "mount"};
    }
    if (options.trylock_bound <= Duration{0}) {
        message = "trylock bound of " + std::to_string(options.trylock_bound.ms()) + " ms: it must be above 0";
        return Error{Errc::bad_argument, 0, 0, "trylock_bound"};
    }
    auto session = std::make_unique<FuseSession>(reactor, port, std::move(options));
    if (auto opened = session->open(message); !opened) return opened.error();
    return std::unique_ptr<Dlmfs>(new Dlmfs(std::move(session)));
}

Dlmfs::Dlmfs(std::unique_ptr<FuseSession> session) : session_(std::move(session)) {}
Dlmfs::~Dlmfs() = default;

Result<void> Dlmfs::mount(std::string& message) { return session_->mount(message); }
void Dlmfs::unmount() { session_->unmount(); }
bool Dlmfs::mounted() const { return session_->mounted(); }
void Dlmfs::set_on_unmounted(std::function<void()> on_unmounted) {
    session_->set_on_unmounted(std::move(on_unmounted));
}
void Dlmfs::lease_lost() { session_->lease_lost(); }
ModelStatus Dlmfs::status() const { return session_->model().status(); }

}  // namespace sdlm::fs
