#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# mount.dlmfs and sdlm mount/umount: the life of a daemon by its mounts; exit codes of mount(8).
# shellcheck disable=SC2153,SC2317
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/common.sh"
need_fuse
need_daemon

run=$work/run
mnt=$work/mnt
mkdir "$mnt" "$work/more" "$work/other"
sdlm() { "$SDLM" --run-dir "$run" "$@"; }
gone() { [[ ! -S $run/control.sock ]]; }

expect 32 "*mount point*nowhere*" "$MOUNT" "$disk" "$work/nowhere"
expect 32 "*not a directory*" "$MOUNT" "$disk" "$disk"
expect 32 "*nodisk*" "$MOUNT" "$work/nodisk" "$mnt"
expect 1 "*nodes=1*" "$MOUNT" "$disk" "$mnt" -o "rw,nodes=1"
expect 1 "*read-only*" "$MOUNT" "$disk" "$mnt" -r
expect 1 "*DIR*" "$MOUNT" "$disk"
expect 0 "" "$MOUNT" "$disk" "$mnt" -f -o "run_dir=$run"
[[ ! -e $run ]] || fail "-f started something"

"$MOUNT" "$disk" "$mnt" -o "rw,noauto,_netdev,node=1,name=alpha,run_dir=$run"
mountpoint -q "$mnt" || fail "not mounted"
pid=$(<"$run/pid")
mkdir "$mnt/domain"
echo value >"$mnt/domain/lock"
[[ $(head -c 5 "$mnt/domain/lock") == value ]] || fail "value lost"
expect 0 "*node:*1 (alpha), live*mounted:*$mnt*" sdlm status
expect 0 "*\"name\": \"alpha\"*" sdlm status --json
expect 0 "*mount:$mnt*1*" sdlm refs

# The same daemon serves a second mount, made either way; a wrong node number is refused.
expect 32 "*node 1*node 2*" "$MOUNT" "$disk" "$work/more" -o "node=2,run_dir=$run"
"$MOUNT" "$disk" "$work/more" -v -o "run_dir=$run" 2>/dev/null
expect 32 "*mounted already*" "$MOUNT" "$disk" "$work/more" -o "run_dir=$run"
expect 0 "" sdlm mount "$work/other"
[[ $(<"$run/pid") == "$pid" ]] || fail "another daemon was started"
expect 1 "*in use by*mount:*" sdlm stop
expect 0 "" sdlm umount "$work/other/"
expect 1 "*not mounted*" sdlm umount "$work/other"
mountpoint -q "$work/other" && fail "still mounted"
((EUID != 0)) || umount "$work/more"
((EUID == 0)) || fusermount3 -u "$work/more"
[[ -S $run/control.sock ]] || fail "the daemon left with a mount in use"

# umount of the last one ends it, and mounting at once again waits for that.
((EUID != 0)) || umount "$mnt"
((EUID == 0)) || fusermount3 -u "$mnt"
"$MOUNT" "$disk" "$mnt" -o "run_dir=$run"
[[ $(<"$run/pid") != "$pid" ]] || fail "the old daemon is still there"
mkdir "$mnt/domain"
expect 0 "" sdlm umount "$mnt"
until_true 30 gone || fail "the daemon stayed without its last mount"

# A daemon that cannot mount must not stay. (A directory whose name is too long for a reference: nothing outside the
# test's own directory is ever mounted on, not even in the hope that it fails.)
deep=$work$(printf '/%0200d' 1 2 3 4 5 6)
mkdir -p "$deep"
expect 32 "*reference*" "$MOUNT" "$disk" "$deep" -o "run_dir=$run"
until_true 30 gone || fail "a daemon without a mount stayed"
