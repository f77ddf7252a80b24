#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The files that other programs read, and Debian's dlm_tool, over two nodes.
# shellcheck disable=SC2016,SC2153,SC2154
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/../tools/common.sh"
# shellcheck source=tests/integration/surfaces/debian.sh
. "$(dirname "$0")/debian.sh"
((EUID == 0)) || skip "making lockspaces and mounts needs root"
unshare -m true 2>/dev/null || skip "no mount namespaces"
need_daemon
start_node 0
start_node 1
with() { "$SDLM" --run-dir "$work/$1" with-dlm -- "${@:2}"; }

# Files alone.
uuid=$(<"$work/0/uuid")
[[ $(<"$work/0/dlm/cluster/cluster_name") == "$uuid" ]] || fail "cluster_name"
[[ -z $(ls -A "$work/0/dlm/cluster/spaces")$(ls -A "$work/0/debug") ]] || fail "something before anything was made"
expect 0 "$uuid" with 0 cat /sys/kernel/config/dlm/cluster/cluster_name
expect 0 "" with 0 ls /sys/kernel/debug/dlm
expect 3 "" with 0 bash -c 'exit 3'
expect 127 "*nosuch*" with 0 nosuch
expect 1 "*no libdlm.so.3 in $work*" "$SDLM" --run-dir "$work/0" with-dlm --libdlm "$work" -- true
expect 1 "*no node daemon runs*" "$SDLM" --run-dir "$work/none" with-dlm -- true
# The rest of /sys/kernel is still there, and nothing has changed outside.
before=$(ls /sys/kernel)
inside=$(with 0 ls /sys/kernel)
for entry in $before config debug; do
    grep -qx "$entry" <<<"$inside" || fail "/sys/kernel/$entry is missing: $inside"
done
[[ $(ls /sys/kernel) == "$before" ]] || fail "/sys/kernel has changed outside"
grep -q " /sys/kernel/[^ ]*/dlm " /proc/mounts && fail "a mount got out"

need_debian dlm-controld libdlmcontrol3
tool=$debian/usr/sbin/dlm_tool
need_libraries "$tool"
export LD_LIBRARY_PATH=$debian_libraries

members() { (cd "$work/$1/dlm/cluster/spaces/$2/nodes" && echo *); }
is() { [[ $(members "$1" "$2") == "$3" ]]; }
expect 0 "*done*" with 0 "$tool" join alpha
[[ $(members 0 alpha) == 1 ]] || fail "members after the first join: $(members 0 alpha)"
[[ $(<"$work/0/dlm/cluster/spaces/alpha/nodes/1/nodeid") == 1 ]] || fail "nodeid"
expect 0 "*done*" with 1 "$tool" join alpha
until_true 30 is 0 alpha "1 2" || fail "node 0 does not see node 1: $(members 0 alpha)"
until_true 30 is 1 alpha "1 2" || fail "node 1 does not see node 0: $(members 1 alpha)"
expect 255 "*error 17*" with 0 "$tool" join -e 1 alpha
expect 0 "*done*" with 0 "$tool" joinleave beta
[[ ! -e $work/0/dlm/cluster/spaces/beta ]] || fail "beta is still shown"

# A holder and two that wait, one of each node.
mkfifo "$work/pipe"
"$SDLM" --run-dir "$work/0" lock alpha "my lock" -- bash -c 'echo >"$0.held"; read -r <"$0"' "$work/pipe" &
holder=$!
children+=("$holder")
until_true 30 test -s "$work/pipe.held" || fail "the lock is not taken"
unasked() { grep -q "^[0-9a-f]* 0 0 $holder 0 0 1 2 5 -1 [0-9]* 0 7 \"my lock\"\$" "$work/0/debug/alpha_locks"; }
until_true 10 unasked || fail "the file does not follow: $(<"$work/0/debug/alpha_locks")"
for node in 0 1; do
    "$SDLM" --run-dir "$work/$node" lock alpha "my lock" -- true &
    children+=("$!")
    waiters+=("$!")
done
dump() { with "$1" "$tool" lockdump alpha; }
shows() { dump "$1" | grep -q "$2"; }
until_true 30 shows 0 "gr IV rq EX pid ${waiters[0]} " || fail "no waiter: $(dump 0)"
until_true 30 shows 1 "gr IV rq EX pid ${waiters[1]} " || fail "no waiter: $(dump 1)"
expect 0 "id * gr EX rq IV pid $holder master 0 \"my lock\"*" dump 0
lines=$(dump 0 | wc -l)
((lines == 2)) || fail "lockdump has $lines lines"
expect 0 "*Resource len *7 *\"my lock\"*Granted*EX*Waiting*(EX)*" with 0 "$tool" lockdebug alpha
expect 0 "*lkb*total *2*granted *1*waiting *1*" with 0 "$tool" lockdebug -s alpha
expect 0 "* 1 0 my lock*" with 1 cat /sys/kernel/debug/dlm/alpha_waiters
echo >"$work/pipe"
wait "$holder" "${waiters[@]}" || fail "a holder failed"
expect 0 "" dump 0

expect 0 "*done*" with 1 "$tool" leave alpha
[[ ! -e $work/1/dlm/cluster/spaces/alpha && ! -e $work/1/debug/alpha_locks ]] || fail "alpha is still shown on node 1"
until_true 30 is 0 alpha 1 || fail "node 1 is still a member: $(members 0 alpha)"
expect 0 "*done*" with 0 "$tool" leave alpha
expect 255 "*" with 0 "$tool" leave alpha

# A view that is open stays good over the daemon's restart, and shows its end.
with 0 bash -c 'echo >"$0.view"; read -r <"$0"; cat /sys/kernel/config/dlm/cluster/cluster_name' "$work/pipe" \
    >"$work/view" 2>&1 &
viewer=$!
children+=("$viewer")
until_true 30 test -s "$work/pipe.view" || fail "the viewer does not start"
"$SDLM" --run-dir "$work/0" stop
[[ ! -e $work/0/dlm/cluster/cluster_name ]] || fail "cluster_name outlives the daemon"
start_node 0
echo >"$work/pipe"
wait "$viewer" || fail "the viewer failed: $(<"$work/view")"
[[ $(<"$work/view") == "$uuid" ]] || fail "the view has come off: $(<"$work/view")"
