#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Daemons that die or hang while programs hold locks: who is stopped, and how soon others go on.
# shellcheck disable=SC2154,SC2016
# shellcheck source=tests/integration/guardian/nodes.sh
. "$(dirname "$0")/nodes.sh"
start_both
((early > 0 && bound > early)) || fail "bounds $early, $bound"

# The daemon is killed: a program that was only told, and nobody.
hold 0 told
since=$(now_ms)
kill_now "${daemon[0]}"
taken_within 1 told "$early" "$since"
shows 1 '^0 .* fenced ' || fail "not shown as fenced: $("$SDLM" --run-dir "$work/1" status)"
kill -0 "${holder[told]}" || fail "a program was ended under the policy notify"
kill_now "${holder[told]}"
drop_mount 0

# Policy kill: one that ends when it is asked to, one that does not.
start 0 --client-policy kill
hold 0 polite "echo asked >'$work/asked'; exit 0"
hold 0 rude "echo asked >'$work/asked-rude'"
since=$(now_ms)
kill_now "${daemon[0]}"
taken_within 1 rude "$early" "$since"
taken_within 1 polite "$early" "$since"
[[ -e $work/asked && -e $work/asked-rude ]] || fail "no SIGTERM first"
gone "${holder[polite]}" || fail "the polite program still runs"
code=0
wait "${holder[rude]}" || code=$?
((code == 137)) || fail "the rude program ended with $code, not by SIGKILL"
drop_mount 0

# A program that has let go is left alone.
start 0 --client-policy kill
hold 0 first
kill_now "${holder[first]}"
bash -c 'exec 3<>"$1"; exec 3>&-; echo >"$2"; read -r <>"$3"' freed "$work/mnt-0/d/second" "$work/let-go" "$work/never" &
free=$!
children+=("$free")
until_true 20 test -e "$work/let-go" || fail "the second program does not start"
since=$(now_ms)
kill_now "${daemon[0]}"
taken_within 1 first "$early" "$since"
kill -0 "$free" || fail "a program that held nothing was ended"
kill_now "$free"
drop_mount 0

# A guardian that dies is replaced.
start 0
old=$(field 0 guardian_pid)
kill -9 "$old"
replaced() { local new; new=$(field 0 guardian_pid); [[ -n $new && $new != 0 && $new != "$old" ]]; }
until_true 20 replaced || fail "no new guardian"
hold 0 again
since=$(now_ms)
kill_now "${daemon[0]}"
taken_within 1 again "$early" "$since"
kill_now "${holder[again]}"
drop_mount 0

# Both are killed: only the clock is left.
start 0
hold 0 both
since=$(now_ms)
kill -9 "$(field 0 guardian_pid)" "${daemon[0]}"
wait "${daemon[0]}" 2>/dev/null || true
taken_within 1 both "$bound" "$since"
kill_now "${holder[both]}"
drop_mount 0

# A daemon that hangs for longer than the lease: the guardian ends the program, and the daemon finds itself lost.
start 0 --client-policy kill
hold 0 hung "echo never mind"
since=$(now_ms)
kill -STOP "${daemon[0]}"
taken_within 1 hung "$bound" "$since"
gone "${holder[hung]}" || fail "the program outlives the lease"
kill -CONT "${daemon[0]}"
lost() { [[ $(<"$work/0/state") == lost ]]; }
until_true 20 lost || fail "the daemon does not find itself lost"
drop_mount 0
code=0
wait "${daemon[0]}" || code=$?
((code == 1)) || fail "the daemon ended with $code"

"$SDLM" --run-dir "$work/1" stop --force
no_guardian() { ! pgrep -x sdlm_guardian -P "$$" >/dev/null; }
until_true 20 no_guardian || fail "a guardian is left"
