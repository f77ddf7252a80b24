#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sdlm: which daemon is meant, two nodes in status and locks, valid JSON, fence, stop.
# shellcheck disable=SC2153,SC2317
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/common.sh"
need_fuse
need_daemon

# valid_json COMMAND...: its output parses, and is not empty.
valid_json() {
    "$@" >"$work/json" 2>&1 || fail "$* failed: $(<"$work/json")"
    cat >"$work/check.cmake" <<'CMAKE'
file(READ "${JSON}" text)
string(JSON type ERROR_VARIABLE error TYPE "${text}")
if(error)
    message(FATAL_ERROR "${error}: ${text}")
endif()
CMAKE
    cmake -DJSON="$work/json" -P "$work/check.cmake" || fail "$* did not print JSON"
}

expect 1 "*no node daemon runs in $work/none*" "$SDLM" --run-dir "$work/none" status
expect 2 "*" "$SDLM"
expect 2 "*" "$SDLM" status extra
expect 2 "*" "$SDLM" fence 255
expect 0 "*status*locks*dump*fence*stop*" "$SDLM" --help
expect 0 "sdlm [0-9]*" "$SDLM" --version
valid_json "$SDLM" dump --json "$disk"
expect 0 "*slot*" "$SDLM" dump "$disk"
expect 1 "*" "$SDLM" dump "$work"

mkdir "$work/mnt-a" "$work/mnt-b"
"$MOUNT" "$disk" "$work/mnt-a" -o "node=0,name=a,run_dir=$work/a"
"$MOUNT" "$disk" "$work/mnt-b" -o $'node=3,name=b,run_dir='"$work/b"
mkdir "$work/mnt-a/dom" "$work/mnt-b/dom"
a() { "$SDLM" --run-dir "$work/a" "$@"; }
exec 3<>"$work/mnt-a/dom/lock"
printf 'abc' >&3
{ exec 3>&-; exec 4<>"$work/mnt-b/dom/lock"; } &
waiter=$!
children+=("$waiter")
waits() { a locks | grep -q "dom *lock *3 *NL .*\(trying\|waiting\)"; }
until_true 30 waits || fail "node 3 is not seen waiting: $(a locks)"
expect 0 "*dom *lock *0\* *EX *EX *- *- *- *1 *blocked*" a locks
expect 0 "*3 *b *live*" a status
expect 0 "*slot_writes*" a status -v
expect 0 "LOCKSPACE*LVB" a locks --lockspace nosuch
expect 1 "*escaped*" a locks --lockspace 'bad\q'
valid_json a status --json
valid_json a locks --json
valid_json a refs --json
valid_json "$SDLM" dump --json "$disk"
exec 3>&-
wait "$waiter" || fail "node 3 did not get the lock"

expect 1 "*node 2*" a fence 2
expect 0 "*node 3*" a fence 3
fenced() { a status | grep -q '^3 *b *\(fenced\|left\|dead\)'; }
until_true 30 fenced || fail "node 3 is not seen fenced: $(a status)"
[[ $(cat "$work/b/state") != live ]] || fail "node 3 goes on"

pid=$(<"$work/a/pid")
expect 1 "*in use*" a stop
expect 0 "" a stop --force
grep -qsF sdlmd "/proc/$pid/cmdline" && fail "stop returned before the daemon had ended"
mountpoint -q "$work/mnt-a" && fail "still mounted"
exit 0
