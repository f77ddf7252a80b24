#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sdlm_hb_ctl: references, start, stop, concurrency, errors passed on.
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/common.sh"
need_daemon

run=$work/run
hb() { "$HB_CTL" "$@" --run-dir "$run"; }
refs() { hb -I -d "$disk" | sed 's/.*: \([0-9]*\) refs$/\1/'; }
uuid=$("$SDLM" dump --json "$disk" | sed -n 's/.*"uuid": *"\([0-9a-f-]\{36\}\)".*/\1/p' | head -n 1)

expect 0 "$uuid: 0 refs" hb -I -d "$disk"
expect 1 "*does not exist*" hb -K -d "$disk" nobody
[[ ! -e $run ]] || fail "asking made the run directory"

hb -S -d "$disk" one
[[ -S $run/control.sock ]] || fail "no control socket"
pid=$(<"$run/pid")
expect 0 "$uuid: 1 refs" hb -I -u "$uuid"
expect 0 "" hb -S -d "$disk" one
expect 0 "" hb -S -u "$uuid" two
[[ $(refs) == 3 ]] || fail "three references expected"
[[ $(<"$run/pid") == "$pid" ]] || fail "another daemon was started"
expect 1 "*three*not found*" hb -K -d "$disk" three
expect 0 "*one*2*two*1*" "$SDLM" --run-dir "$run" refs
expect 1 "*in use by one*" "$SDLM" --run-dir "$run" stop
((EUID != 0)) || expect 0 "" hb -P -d "$disk" -n 3
((EUID != 0)) || [[ $(ionice -p "$pid") == "realtime: prio 3" ]] || fail "I/O priority: $(ionice -p "$pid")"

expect 0 "" hb -K -d "$disk" one
expect 0 "" hb -K -d "$disk" two
[[ -d /proc/$pid ]] || fail "the daemon left with a reference held"
expect 0 "" hb -K -d "$disk" one
[[ ! -S $run/control.sock ]] || fail "the socket is still there"
grep -qsF sdlmd "/proc/$pid/cmdline" && fail "the daemon is still there"

# Many services start and stop at the same moment: one daemon, no reference lost.
for i in 1 2 3 4 5 6; do hb -S -d "$disk" "svc$i" & children+=("$!"); done
for child in "${children[@]}"; do wait "$child" || fail "a concurrent start failed"; done
[[ $(refs) == 6 ]] || fail "six references expected, $(refs) found"
children=()
for i in 1 2 3 4 5 6; do hb -K -d "$disk" "svc$i" & children+=("$!"); done
for child in "${children[@]}"; do wait "$child" || fail "a concurrent stop failed"; done
children=()
[[ ! -S $run/control.sock ]] || fail "the daemon stayed after six stops"

# Whatever keeps the node from joining is shown.
hb -S -d "$disk" --node 2 first
expect 1 "*slot 2*" "$HB_CTL" -S -d "$disk" --run-dir "$work/other" --node 2 second
expect 1 "*slots 0 to 3*" "$HB_CTL" -S -d "$disk" --run-dir "$work/other" --node 9 second
truncate -s 16M "$work/second.img"
make_volume "$work/second.img"
expect 1 "*another volume*" hb -S -d "$work/second.img" svc
truncate -s 16M "$work/zeros.img"
expect 1 "*zeros.img*" hb -S -d "$work/zeros.img" svc
expect 1 "*cannot run*nowhere*" env SDLM_SDLMD=/nowhere "$HB_CTL" -S -d "$disk" --run-dir "$work/other" svc
hb -K -d "$disk" first

# A daemon that was killed is no obstacle; what it counted is gone with it.
hb -S -d "$disk" lost
kill -9 "$(<"$run/pid")"
expect 1 "*gone*" hb -K -d "$disk" lost
expect 0 "*" hb -S -d "$disk" again
[[ $(refs) == 1 ]] || fail "one reference expected"
expect 0 "" hb -K -d "$disk" again

for usage in "-S -d $disk" "-S -K -d $disk x" "-S x" "-S -d $disk -u $uuid x" "-P -d $disk -n 8" "-I -d $disk x" "-I -u 12" "" "-q"; do
    # shellcheck disable=SC2086
    expect 2 "*" "$HB_CTL" $usage
done
expect 0 "*-S*-K*-I*-P*" "$HB_CTL" -h
