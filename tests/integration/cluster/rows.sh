#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# dlmfs_rows on the mounts of two real nodes, with death and restart of the second.
# shellcheck disable=SC2153
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/../tools/common.sh"
need_fuse
need_daemon
"$MKFS" -f -N 4 -J 256K --lease-ms 2000 --heartbeat-ms 100 "$disk" >/dev/null
chmod 755 "$work"    # a row looks in as another user
mkdir "$work/a" "$work/b"
cat >"$work/start-b" <<END
umount -l "$work/b" 2>/dev/null
exec "$MOUNT" "$disk" "$work/b" -o node=1,run_dir=$work/run-b
END
# shellcheck disable=SC2016
echo 'pid=$(cat '"$work"'/run-b/pid) && kill -9 $pid && while kill -0 $pid 2>/dev/null; do :; done' >"$work/kill-b"
"$MOUNT" "$disk" "$work/a" -o "node=0,run_dir=$work/run-a"
bash "$work/start-b"
code=0
SDLM_TEST_MOUNT_A=$work/a SDLM_TEST_MOUNT_B=$work/b SDLM_TEST_KILL_B="bash $work/kill-b" \
    SDLM_TEST_RESTART_B="bash $work/start-b" SDLM_TEST_WATCHDOG_S=120 "$ROWS" || code=$?
((code == 0)) || fail "dlmfs_rows gave $code"
