#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# fence_reservation.sh HOOK: the hook on a fake device, as two hosts, for SCSI and NVMe; dry runs; everything that can
# go wrong. The rule: exit code 0 only if the device really refuses the peer.
set -euo pipefail
hook=$1
here=$(cd "$(dirname "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "${scsi_or_nvme:-}: $*" >&2; exit 1; }

mkdir "$work/bin" "$work/tools" "$work/state"
# Nothing but these is found: not even a real sg_persist.
for program in bash cat env grep head realpath rm sed sleep timeout tr; do
    ln -s "$(command -v "$program")" "$work/bin/$program"
done
for program in sg_persist nvme; do ln -s "$here/fake_device.sh" "$work/tools/$program"; done
touch "$work/disk" "$work/nvme0n1"
export FAKE_STATE=$work/state FAKE_HOST=a
export SDLM_VOLUME_UUID=8a6e0804-2bd0-4672-b79d-d97027f9071a SDLM_HOOK_TIMEOUT_S=1
key_a=8a6e08042bd00001 key_b=8a6e08042bd00008

# as HOST ACTION [ARGUMENT...]: one run; its output in $out, its exit code in $code. Host a is node 0, b is node 7.
as() {
    export FAKE_HOST=$1 SDLM_ACTION=$2 SDLM_NODE=0 SDLM_PEER=7 SDLM_PEER_NAME=peer SDLM_REASON=lease
    [[ $1 == a ]] || export SDLM_NODE=7 SDLM_PEER=0
    code=0
    out=$(PATH=${path:-$work/tools:$work/bin} "$hook" "${@:3}" 2>&1) || code=$?
}
ok() { as "$@"; ((code == 0)) || fail "$*: exit code $code: $out"; }
refused() {      # refused PATTERN HOST ACTION: exit code 1 and these words
    as "${@:2}"
    ((code == 1)) || fail "${*:2} with ${FAKE_FAULT:-no fault}: exit code $code, expected 1: $out"
    # shellcheck disable=SC2053
    [[ $out == $1 ]] || fail "${*:2} with ${FAKE_FAULT:-no fault}: not like \"$1\": $out"
}
reset() { rm -rf "$work/state"; mkdir "$work/state"; export FAKE_FAULT=""; }
both_registered() { reset; ok a register; ok b register; }
fault() { rm -f "$work/state/faults"; export FAKE_FAULT=$1; }
can_write() { [[ -e $work/state/reg.$1 || ! -e $work/state/holder ]]; }
same() { [[ $1 == "$2" ]] || fail "expected:"$'\n'"$2"$'\n'"got:"$'\n'"$1"; }

# What a dry run prints is what is done, and no program is needed for it.
export SDLM_DEVICE=/dev/sdx
path=$work/bin ok a evict --dry-run
same "$out" "sg_persist --no-inquiry --in --read-keys /dev/sdx
sg_persist --no-inquiry --in --read-reservation /dev/sdx
sg_persist --no-inquiry --out --preempt-abort --param-rk=0x$key_a --param-sark=0x$key_b --prout-type=5 /dev/sdx
sg_persist --no-inquiry --in --read-keys /dev/sdx
sg_persist --no-inquiry --in --read-reservation /dev/sdx"
path=$work/bin ok b register --dry-run
same "$out" "sg_persist --no-inquiry --out --register-ignore --param-sark=0x$key_b /dev/sdx
sg_persist --no-inquiry --in --read-keys /dev/sdx
sg_persist --no-inquiry --in --read-reservation /dev/sdx
sg_persist --no-inquiry --out --reserve --param-rk=0x$key_b --prout-type=5 /dev/sdx
sg_persist --no-inquiry --in --read-keys /dev/sdx
sg_persist --no-inquiry --in --read-reservation /dev/sdx"
export SDLM_DEVICE=/dev/nvme3n1
path=$work/bin ok b evict --dry-run
same "$out" "nvme resv-report /dev/nvme3n1 --eds
nvme resv-acquire /dev/nvme3n1 --crkey=0x$key_b --prkey=0x$key_a --rtype=3 --racqa=2
nvme resv-report /dev/nvme3n1 --eds"
path=$work/bin ok a unregister --dry-run
same "$out" "nvme resv-report /dev/nvme3n1 --eds
nvme resv-register /dev/nvme3n1 --crkey=0x$key_a --rrega=1"
[[ -z $(ls "$work/state") ]] || fail "a dry run has called something"

# What is wrong with the call itself is exit code 2, before anything is done.
usage() {        # usage PATTERN VARIABLE=VALUE...
    code=0
    out=$(env SDLM_ACTION=evict SDLM_NODE=0 SDLM_PEER=7 PATH="$work/tools:$work/bin" "${@:2}" 2>&1) || code=$?
    # shellcheck disable=SC2053
    [[ $code == 2 && $out == $1 ]] || fail "${*:2}: exit code $code: $out"
}
usage "*SDLM_ACTION*" SDLM_ACTION=kill "$hook"
usage "*SDLM_DEVICE*" SDLM_DEVICE= "$hook"
usage "*SDLM_VOLUME_UUID*" SDLM_VOLUME_UUID=8a6e0804 "$hook"
usage "*SDLM_NODE*255*" SDLM_NODE=255 "$hook"
usage "*SDLM_PEER*" SDLM_PEER= "$hook"
usage "*SDLM_PEER*" SDLM_PEER=08 "$hook"
usage "*SDLM_PEER*itself*" SDLM_PEER=0 "$hook"
usage "*SDLM_HOOK_TIMEOUT_S*" SDLM_HOOK_TIMEOUT_S=0 "$hook"
usage "*usage:*" "$hook" --force
[[ -z $(ls "$work/state") ]] || fail "a wrong call has called something"

whole_test() {
    # Two lives: register, evict, once more (its key is gone already), and the way back.
    both_registered
    [[ $(<"$work/state/reg.a") == "$key_a" && $(<"$work/state/reg.b") == "$key_b" ]] || fail "wrong keys"
    [[ $(<"$work/state/holder") == a && $(<"$work/state/kind") == 5 ]] || fail "no reservation of the right kind"
    ok a register
    ok a evict
    [[ $out == *"node 7 (peer) is cut off"* ]] || fail "evict said: $out"
    can_write a || fail "the survivor cannot write"
    can_write b && fail "the evicted node can write"
    ok a evict
    refused "*this node's key*not registered*" b evict
    can_write b && fail "an evicted node came back by evicting others"
    ok b register
    can_write b || fail "a new life cannot write"

    # The holder of the reservation is evicted, or leaves and takes the reservation with it.
    both_registered
    ok b evict
    can_write a && fail "the evicted holder can write"
    both_registered
    ok a unregister
    [[ ! -e $work/state/holder ]] || fail "the fake device keeps a reservation without its holder"
    ok b evict
    can_write a && fail "a node that has left can write after its eviction"
    ok a unregister

    # A key of another volume, or another number of the same host, is replaced.
    reset
    echo 1234 >"$work/state/reg.a"
    ok a register
    [[ $(<"$work/state/reg.a") == "$key_a" ]] || fail "the old key was not replaced"

    # Somebody uses reservations for another purpose.
    both_registered
    echo 6 >"$work/state/kind"
    refused "*another kind*" a evict
    refused "*another kind*" b register

    # Faults, each at each command: never 0 unless the peer is really out.
    local command what
    for command in read_keys read_reservation reserve preempt any; do
        for what in hang unsupported conflict attention garbage lie; do
            [[ $what != hang || $command == preempt || $command == any ]] || continue      # a second each
            both_registered
            [[ $command != reserve ]] || rm -f "$work/state/holder" "$work/state/kind"
            fault "$command:$what"
            as a evict
            if ((code == 0)) && can_write b; then fail "evict with $FAKE_FAULT: exit code 0, but b can write: $out"; fi
            if ((code != 0)) && [[ $out != *disk* && $out != *nvme0n1* ]]; then fail "$FAKE_FAULT: $out"; fi
            ((code <= 1)) || fail "evict with $FAKE_FAULT: exit code $code: $out"
        done
    done
    both_registered
    fault preempt:hang
    refused "*still registered*no answer within 1 s*" a evict
    fault preempt:lie
    refused "*still registered*" a evict
    fault any:unsupported
    refused "*cannot be read*not supported*" a evict
    reset
    fault register:unsupported
    refused "*cannot be registered*not supported*" a register
    fault register:lie
    refused "*not there after it was registered*" a register
    fault reserve:lie
    refused "*reservation cannot be made*" a register
    both_registered
    fault register:conflict
    refused "*cannot be removed*" a unregister

    # No program, no device.
    path=$work/bin refused "*not installed (package *)*" a evict
    SDLM_DEVICE=$work/nowhere refused "*nowhere: there is no such device*" a evict
}

scsi_or_nvme=SCSI
export SDLM_DEVICE=$work/disk
whole_test
# A device that tells of a change first is asked again.
both_registered
fault read_keys:attention:2
ok a evict
both_registered
fault preempt:attention:1
ok a evict
can_write b && fail "the evicted node can write"
fault read_keys:attention
refused "*Unit attention*" a evict

scsi_or_nvme=NVMe
export SDLM_DEVICE=$work/nvme0n1
whole_test
exit 0
