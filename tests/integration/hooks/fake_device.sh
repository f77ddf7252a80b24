#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# sg_persist or nvme, as it is called, on a device that consists of files in $FAKE_STATE: reg.HOST holds the key of a
# host, `holder` the host with the reservation, `kind` its kind. $FAKE_HOST is the host that calls.
# $FAKE_FAULT, "COMMAND:FAULT[:TIMES]": what goes wrong with read_keys, read_reservation, register, reserve, preempt or
# any of them: hang, unsupported, conflict, attention (nothing done, "ask again"), garbage, lie (says yes, does nothing).
set -u
cd "$FAKE_STATE" || exit 99
program=${0##*/}
mine=reg.$FAKE_HOST

conflict() {
    if [[ $program == nvme ]]; then echo "NVMe status: Reservation Conflict(0x4083)" >&2; exit 1; fi
    echo "persistent reserve out: scsi status: Reservation Conflict" >&2
    exit 24
}

# The option's value in the arguments, in lower case and without 0x and leading zeros.
value() {
    local argument
    for argument in "${arguments[@]}"; do
        [[ $argument == "$1="* ]] && printf '%s' "${argument#*=}" | tr '[:upper:]' '[:lower:]' | sed 's/^0x//; s/^0*//'
    done
}
registered_as() { [[ -e $mine && $(<"$mine") == "$1" ]]; }

fault() {
    local command=${FAKE_FAULT%%:*} rest=${FAKE_FAULT#*:}
    [[ $command == "$1" || $command == any ]] || return 0
    local what=${rest%%:*} times=1000 done=0
    [[ $rest != *:* ]] || times=${rest#*:}
    [[ ! -e faults ]] || done=$(<faults)
    ((done < times)) || return 0
    echo $((done + 1)) >faults
    case $what in
        hang) exec sleep 1000 ;;
        unsupported) echo "$program: command not supported" >&2; exit 9 ;;
        conflict) conflict ;;
        attention) echo "persistent reserve: pass through os error: Unit attention" >&2; exit 6 ;;
        garbage) head -c 200 /dev/zero | tr '\0' '#'; exit 0 ;;
        lie) exit 0 ;;
    esac
}

read_keys() {
    local keys=()
    for file in reg.*; do [[ -e $file ]] && keys+=("$(<"$file")"); done
    if ((${#keys[@]} == 0)); then echo "  PR generation=0x3, there are NO registered reservation keys"; return; fi
    echo "  PR generation=0x3, ${#keys[@]} registered reservation keys follow:"
    printf '    0x%s\n' "${keys[@]}"
}
read_reservation() {
    if [[ ! -e holder ]]; then echo "  PR generation=0x3, there is NO reservation held"; return; fi
    printf '  PR generation=0x3, Reservation follows:\n    Key=0x%s\n' "$(cat "reg.$(<holder)")"
    if [[ $(<kind) == 5 ]]; then echo "    scope: LU_SCOPE,  type: Write Exclusive, registrants only"
    else echo "    scope: LU_SCOPE,  type: Exclusive Access"; fi
}
report() {
    local number=0 type=0
    [[ ! -e holder ]] || type=$(<kind)
    # NVMe counts the kinds otherwise.
    printf '\nNVME Reservation status:\n\ngen       : 3\nrtype     : %d\nregctl    : 1\nptpls     : 0\n' $((type == 5 ? 3 : type))
    for file in reg.*; do
        [[ -e $file ]] || continue
        printf 'regctlext[%d] :\n  cntlid     : ffff\n  rcsts      : 0\n  rkey       : %s\n  hostid     : 1%d\n' "$number" "$(<"$file")" "$number"
        number=$((number + 1))
    done
}

register() {      # register NEW-KEY
    if [[ -n $1 ]]; then echo "$1" >"$mine"; return; fi
    rm -f "$mine"
    # The reservation goes with the registration of its holder.
    [[ ! -e holder || $(<holder) != "$FAKE_HOST" ]] || rm -f holder kind
}
reserve() {       # reserve OWN-KEY
    registered_as "$1" || conflict
    [[ ! -e holder || $(<holder) == "$FAKE_HOST" ]] || conflict
    echo "$FAKE_HOST" >holder
    echo 5 >kind
}
preempt() {       # preempt OWN-KEY KEY
    registered_as "$1" || conflict
    local found=0 file
    for file in reg.*; do
        [[ $(<"$file") == "$2" ]] || continue
        found=1
        rm -f "$file"
        [[ ! -e holder || $(<holder) != "${file#reg.}" ]] || echo "$FAKE_HOST" >holder
    done
    ((found)) || conflict
}

arguments=("$@")
echo "$program $*" >>calls
FAKE_FAULT=${FAKE_FAULT:-none:none}
case "$program $*" in
    *--read-keys*) fault read_keys; read_keys ;;
    *--read-reservation*) fault read_reservation; read_reservation ;;
    *resv-report*) fault read_keys; report ;;
    *--register-ignore*) fault register; register "$(value --param-sark)" ;;
    *--register*) fault register; registered_as "$(value --param-rk)" || conflict; register "$(value --param-sark)" ;;
    *resv-register*--rrega=1*) fault register; registered_as "$(value --crkey)" || conflict; register "" ;;
    *resv-register*--rrega=0*)
        fault register
        [[ ! -e $mine ]] || registered_as "$(value --nrkey)" || conflict
        register "$(value --nrkey)"
        ;;
    *resv-register*--rrega=2*) fault register; register "$(value --nrkey)" ;;
    *--reserve*) fault reserve; reserve "$(value --param-rk)" ;;
    *--racqa=0*) fault reserve; reserve "$(value --crkey)" ;;
    *--preempt-abort*) fault preempt; preempt "$(value --param-rk)" "$(value --param-sark)" ;;
    *--racqa=2*) fault preempt; preempt "$(value --crkey)" "$(value --prkey)" ;;
    *) echo "$program: what is that: $*" >&2; exit 1 ;;
esac
exit 0
