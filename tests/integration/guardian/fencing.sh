#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What an administrator can do about a node: fence, evict, clear-slot, the hook, the timeline.
# shellcheck disable=SC2154,SC2016
# shellcheck source=tests/integration/guardian/nodes.sh
. "$(dirname "$0")/nodes.sh"
start_both
lease=$(field 1 lease_ms)

expect 0 "*$lease ms*lease is over*$bound ms*$early ms*" "$SDLM" --run-dir "$work/1" status --timeline
expect 0 "*\"dead_ms\":*" "$SDLM" --run-dir "$work/1" status --timeline --json

# Poison pill.
sees() { shows 1 '^0 .* live '; }
hold 0 pill
until_true 20 sees || fail "node 1 does not see node 0"
since=$(now_ms)
expect 0 "node 0 has stopped itself" "$SDLM" --run-dir "$work/1" fence --wait 0
taken_within 1 pill "$early" "$since"
shows 1 '^0 .* fenced ' || fail "not shown as fenced"
grep -q "fenced at the request of node 1" "$work/log0" || fail "the log does not say why"
code=0
bash -c 'read -r <"$1"' reader "/proc/${holder[pill]}/fd/3" 2>/dev/null || code=$?
((code != 0)) || fail "the program was not told"
kill_now "${holder[pill]}"
drop_mount 0
code=0
wait "${daemon[0]}" || code=$?
((code == 1)) || fail "a fenced daemon ended with $code"

# A deaf target: the clock decides, and the exit code says so.
start 0
hold 0 deaf
until_true 20 sees || fail "node 1 does not see node 0"
guardian=$(field 0 guardian_pid)
children+=("$guardian")
kill -STOP "${daemon[0]}" "$guardian"
expect 3 "node 0 did not answer and was evicted" "$SDLM" --run-dir "$work/1" fence --wait 0
taken_within 1 deaf "$bound" "$(now_ms)"
kill -9 "$guardian"
kill_now "${daemon[0]}" "${holder[deaf]}"
drop_mount 0

# Evict: not while it is alive, not without knowing that the host is off; then before the lease is over.
start 0
hold 0 off
until_true 20 sees || fail "node 1 does not see node 0"
expect 1 "*only when its host cannot write any more*" "$SDLM" --run-dir "$work/1" evict 0
expect 1 "*node 0 is alive*" "$SDLM" --run-dir "$work/1" evict --host-is-off 0
expect 1 "*not found*" "$SDLM" --run-dir "$work/1" evict --host-is-off 3
guardian=$(field 0 guardian_pid)
children+=("$guardian")
kill -9 "$guardian"
kill_now "${daemon[0]}"
since=$(now_ms)
evicted() { "$SDLM" --run-dir "$work/1" evict --host-is-off 0 2>/dev/null; }
until_true 20 evicted || fail "the dead node cannot be evicted"
taken_within 1 off "$lease" "$since"
kill_now "${holder[off]}"
drop_mount 0

# The hook, which everybody waits for.
cat >"$work/hook" <<'HOOK'
#!/bin/bash
dir=$(dirname "$0")
env | grep ^SDLM_ | sort >"$dir/hook-$SDLM_ACTION"
[[ $SDLM_ACTION != evict || -e $dir/may-succeed ]]
HOOK
chmod +x "$work/hook"
expect 2 "*waits for a program*" "$SDLMD" --device "$disk" --fence-before-grant
expect 2 "*/nosuch: No such file*" "$SDLMD" --device "$disk" --node 1 --fence-hook "$work/nosuch"
expect 2 "*choose it with --node*" "$SDLMD" --device "$disk" --fence-hook "$work/hook"
"$SDLM" --run-dir "$work/1" stop --force
echo >"$work/may-succeed"          # the slot of node 0 still shows its last life
start 1 --fence-hook "$work/hook" --fence-before-grant
rm "$work/may-succeed"
[[ -e $work/hook-register ]] || fail "the hook is not told of the start"
grep -qx "SDLM_NODE=1" "$work/hook-register" || fail "hook: $(<"$work/hook-register")"
start 0
hold 0 hooked
kill -9 "$(field 0 guardian_pid)" "${daemon[0]}"
wait "${daemon[0]}" 2>/dev/null || true
take 1 hooked &
taker=$!
children+=("$taker")
failed_twice() { (($(grep -c "hook (evict) failed" "$work/log1") >= 2)); }
until_true 60 failed_twice || fail "the hook was not tried again: $(<"$work/log1")"
gone "$taker" && fail "granted although the hook has failed"
for word in SDLM_PEER=0 SDLM_REASON=lease "SDLM_DEVICE=$disk" "SDLM_PEER_HOST=*-*" "SDLM_PEER_GENERATION=*"; do
    grep -q "^${word//\*/.*}\$" "$work/hook-evict" || fail "hook: no $word in $(<"$work/hook-evict")"
done
echo >"$work/may-succeed"
wait "$taker" || fail "not granted after the hook's success"
kill_now "${holder[hooked]}"
drop_mount 0

# A slot that shows garbage.
expect 1 "*slot 1 is taken*" "$SDLM" clear-slot --slot 1 "$disk"
expect 1 "*slots 0 to 3 only*" "$SDLM" clear-slot --slot 9 "$disk"
offset=$("$SDLM" dump --json --slot 2 "$disk" | sed -n 's/.*"offset": \([0-9]*\).*/\1/p' | head -n 1)
[[ -n $offset ]] || fail "dump does not say where slot 2 lies"
head -c 512 /dev/urandom | dd of="$disk" bs=512 seek=$((offset / 512)) conv=notrunc status=none
expect 0 "*slot 2 of $disk is free*" "$SDLM" clear-slot --slot 2 "$disk"
expect 0 "*left*" "$SDLM" dump --slot 2 "$disk"
"$SDLM" --run-dir "$work/1" stop --force
[[ -e $work/hook-unregister ]] || fail "the hook is not told of the end"
