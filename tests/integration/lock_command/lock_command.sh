#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sdlm lock: exclusion over two nodes, exit codes, who holds it, signals, the end of the lease.
# shellcheck disable=SC2016,SC2153
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/../tools/common.sh"
((EUID == 0)) || skip "making lockspaces needs root"
need_daemon

start_node() {
    "$SDLMD" --device "$disk" --node "$1" --name "host$1" --run-dir "$work/$1" >"$work/log$1" 2>&1 &
    children+=("$!")
    until_true 30 grep -q 'live as node' "$work/log$1" || fail "node $1 does not get live: $(<"$work/log$1")"
}
lock() { "$SDLM" --run-dir "$work/$1" lock "${@:2}"; }
# hold NODE NAME OPTIONS...: in the background until $work/NAME.go is there; returns when it is held. Its pid: $holder.
hold() {
    rm -f "$work/$2.held" "$work/$2.go"
    "$SDLM" --run-dir "$work/$1" lock "${@:3}" space "$2" -- bash -c 'echo $$ >"$0.held"; until [[ -e $0.go ]]; do read -rt 0.02 <>"$0.pipe"; done; exit 0' \
        "$work/$2" &
    holder=$!
    children+=("$holder")
    until_true 30 test -s "$work/$2.held" || fail "$2 is not taken"
}
let_go() {
    touch "$work/$1.go"
    wait "$holder" || fail "the holder of $1 failed: $?"
}
gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }
for name in a b; do mkfifo "$work/$name.pipe"; done
start_node 0
start_node 1

# Exit codes, and what is no command line.
expect 7 "" lock 0 space a -- bash -c 'exit 7'
expect 143 "" lock 0 space a -- bash -c 'kill -TERM $$'
expect 127 "*cannot run*nosuch*" lock 0 space a -- nosuch
expect 126 "*cannot run*" lock 0 space a -- "$work"
expect 2 "*" lock 0 space a
expect 2 "*" lock 0 space -- true
expect 2 "*" lock 0 -n -w 1 space a -- true
expect 1 "*no node daemon runs in*" "$SDLM" --run-dir "$work/none" lock space a -- true
expect 0 "x -- -y" lock 0 space a -- echo x -- -y
expect 0 "*LOCKSPACE*NAME*" "$SDLM" lock --help

# Exclusion on both nodes, with the holder named.
hold 0 a
expect 1 "*held by node 0 (host0)*" lock 1 --nonblock space a -- echo WRONG
expect 1 "*held by node 0 (host0), pid $holder*" lock 0 -n space a -- echo WRONG
expect 9 "*held by node 0 (host0)*" lock 1 -w 0.2 -E 9 space a -- echo WRONG
expect 0 "*held by node 0*" lock 1 --timeout 0 -E 0 space a -- echo WRONG
expect 0 "other" lock 1 space b -- echo other
"$SDLM" --run-dir "$work/1" lock space a -- touch "$work/second" &
second=$!
children+=("$second")
waits() { "$SDLM" --run-dir "$work/0" locks | grep -q "space *a *1 *NL .*\(trying\|waiting\)"; }
until_true 30 waits || fail "node 1 is not seen waiting"
[[ ! -e $work/second ]] || fail "two holders"
let_go a
wait "$second" || fail "the second one failed"
[[ -e $work/second ]] || fail "the second one did not run"

# Shared ones go together, an exclusive one does not.
hold 0 a --shared
expect 0 "too" lock 1 -n -s space a -- echo too
expect 1 "*held by node 0*" lock 1 -n space a -- echo WRONG
let_go a
expect 0 "after" lock 1 -n space a -- echo after

# Signals: forwarded while the command runs; while it waits they end the wait, and the request with it.
hold 0 a
kill -TERM "$holder"
code=0
wait "$holder" || code=$?
((code == 143)) || fail "TERM to sdlm lock ended with $code"
gone "$(<"$work/a.held")" || fail "the command got no TERM"
hold 0 a
"$SDLM" --run-dir "$work/1" lock space a -- touch "$work/third" &
waiter=$!
children+=("$waiter")
until_true 30 waits || fail "node 1 is not seen waiting"
kill -INT "$waiter"
kill -TERM "$waiter"
code=0
wait "$waiter" || code=$?
((code == 143 || code == 130)) || fail "a signal to a waiter ended with $code"
let_go a
[[ ! -e $work/third ]] || fail "ran after it was interrupted"
# A killed sdlm lock takes its command along.
hold 0 a
kill -KILL "$holder"
until_true 30 gone "$(<"$work/a.held")" || fail "the command outlives its lock"
expect 0 "" lock 1 -w 30 space a -- true

# The lease: TERM first, KILL for what ignores it, also for what the command has started.
# shellcheck disable=SC2034
cat >"$work/stubborn" <<'SCRIPT'
#!/bin/bash
trap 'echo term >>"$1/got"' TERM
(trap '' TERM; echo $BASHPID >"$1/deep"; while :; do read -rt 1 <>"$1/a.pipe"; done) &
echo $$ >"$1/stubborn.pid"
while :; do read -rt 0.1 <>"$1/b.pipe"; done
SCRIPT
"$SDLM" --run-dir "$work/1" lock --grace 0.5 space b -- bash "$work/stubborn" "$work" >"$work/lost" 2>&1 &
holder=$!
children+=("$holder")
until_true 30 test -s "$work/stubborn.pid" -a -s "$work/deep" || fail "the command does not start"
"$SDLM" --run-dir "$work/0" fence 1 >/dev/null
code=0
wait "$holder" || code=$?
((code == 125)) || fail "a lost lease ended with $code: $(<"$work/lost")"
grep -q 'space/b is LOST' "$work/lost" || fail "no message: $(<"$work/lost")"
[[ $(sort -u "$work/got") == term ]] || fail "no TERM before KILL"
gone "$(<"$work/stubborn.pid")" || fail "the command runs on"
gone "$(<"$work/deep")" || fail "its child runs on"
expect 1 "*" lock 1 space a -- echo WRONG
