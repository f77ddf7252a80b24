#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# install.sh BUILD-DIR SBINDIR: what `cmake --install` puts into a prefix, and that it works from there.
set -euo pipefail
build=$1
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$build" --prefix "$prefix" >/dev/null

expected="bin/sdlm
include/sdlm/libdlm.h
include/sdlm/o2dlm/o2dlm.h
include/sdlm/o2dlm/o2dlm_err.h
lib/sdlm/libdlm.so.3.0
lib/sdlm/libdlm_lt.so.3.0
lib/sdlm/libo2dlm.a
lib/sdlm/libo2dlm.so.1.0
lib/sdlm/libsdlm_o2dlm_preload.so
lib/sdlm/pkgconfig/libdlm.pc
lib/sdlm/pkgconfig/libdlm_lt.pc
lib/sdlm/pkgconfig/o2dlm.pc
lib/systemd/system/sdlmd@.service
libexec/sdlm/hooks/fence_reservation
sbin/mkfs.sdlm
sbin/mount.dlmfs
sbin/sdlm_hb_ctl
sbin/sdlmd
share/man/man1/sdlm.1
share/man/man3/libo2dlm.3
share/man/man5/sdlm.5
share/man/man7/sdlm-hooks.7
share/man/man7/sdlm.7
share/man/man8/mkfs.sdlm.8
share/man/man8/mount.dlmfs.8
share/man/man8/sdlm_hb_ctl.8
share/man/man8/sdlmd.8"
installed=$(cd "$prefix" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort)
if [[ $installed != "$expected" ]]; then
    diff <(echo "$expected") <(echo "$installed") >&2 || true
    echo "installed (>) is not what is expected (<)" >&2
    exit 1
fi

for program in "$prefix"/bin/* "$prefix"/sbin/*; do
    name=${program##*/}
    version=$("$program" --version)
    [[ $version == "$name "[0-9]* ]] || { echo "$name --version: $version" >&2; exit 1; }
    "$program" --help >/dev/null || { echo "$name --help failed" >&2; exit 1; }
    code=0
    "$program" --no-such-option >/dev/null 2>&1 || code=$?
    [[ $code == 2 || ($name == mount.dlmfs && $code == 1) ]] || { echo "$name: wrong usage gives $code" >&2; exit 1; }
done
