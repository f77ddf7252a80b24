# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For the tests of this folder: nodes with a dlmfs each, programs that hold locks, and times against stated bounds.
# shellcheck disable=SC2034,SC2154
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/../tools/common.sh"
need_fuse
need_daemon

declare -A daemon holder

# start NODE OPTIONS...: with its dlmfs at $work/mnt-NODE, domain `d`.
start() {
    local node=$1
    shift
    mkdir -p "$work/mnt-$node"
    "$SDLMD" --device "$disk" --node "$node" --name "host$node" --run-dir "$work/$node" --mount "$work/mnt-$node" \
        "$@" 2>>"$work/log$node" &
    daemon[$node]=$!
    children+=("$!")
    until_true 40 answers "$node" || fail "node $node does not start: $(<"$work/log$node")"
    [[ -d $work/mnt-$node/d ]] || mkdir "$work/mnt-$node/d"
}

status() { "$SDLM" --run-dir "$work/$1" status --json; }
answers() { kill -0 "${daemon[$1]}" && status "$1" 2>/dev/null | grep -q '"state": "live"'; }
# field NODE NAME: a number of the node's status
field() { status "$1" | sed -n "s/^ *\"$2\": \([0-9]*\),\{0,1\}\$/\1/p" | head -n 1; }
shows() { "$SDLM" --run-dir "$work/$1" status | grep -Eq "$2"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }

# hold NODE NAME [ON-TERM]: a program that holds an exclusive lock until it is ended. ON-TERM runs at SIGTERM.
hold() {
    local node=$1 name=$2 on_term=${3:-exit 0}
    rm -f "$work/held-$name"
    bash -c 'trap "$3" TERM
             exec 3<>"$1" || exit 1
             echo >"$2"
             while :; do read -rt 0.05 <>"$4"; done' holder "$work/mnt-$node/d/$name" "$work/held-$name" "$on_term" \
        "$work/never" 2>>"$work/holders" &
    holder[$name]=$!
    children+=("$!")
    until_true 20 test -e "$work/held-$name" || fail "node $node does not get $name"
}

# take NODE NAME: an exclusive lock, taken and dropped; waits for it.
take() { bash -c 'exec 3<>"$1"' taker "$work/mnt-$1/d/$2"; }

# taken_within NODE NAME BOUND SINCE: in ms
taken_within() {
    take "$1" "$2" || fail "node $1 cannot take $2"
    local took=$(($(now_ms) - $4))
    echo "$2: taken after $took ms, stated bound $3 ms"
    ((took <= $3)) || fail "$2 was taken after $took ms; the stated bound is $3 ms"
}

kill_now() { kill -9 "$@"; wait "$@" 2>/dev/null || true; }
drop_mount() { umount -l "$work/mnt-$1" 2>/dev/null || fusermount3 -u -z "$work/mnt-$1"; }
mkfifo "$work/never"

# Nodes 0 and 1, and the bounds that the volume states.
start_both() {
    start 0
    start 1
    early=$(field 1 early_bound_ms)
    bound=$(field 1 failover_bound_ms)
}
