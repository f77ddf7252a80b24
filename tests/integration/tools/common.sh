# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# For the tool tests: a private directory with a volume in an image file, and the end of everything that was started.
# The environment names the programs: MKFS SDLMD SDLM HB_CTL MOUNT.
# shellcheck disable=SC2153
set -euo pipefail

export SDLM_SDLMD=$SDLMD
unset SDLM_RUN_DIR
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sdlm-test.XXXXXX")
disk=$work/disk.img
children=()

fail() { echo "FAILED: ${FUNCNAME[1]} line ${BASH_LINENO[0]}: $*" >&2; exit 1; }
skip() { echo "skipped: $*"; exit 77; }

end_all() {
    local code=$? pid pid_file mount
    trap '' INT TERM PIPE
    set +e
    for pid in "${children[@]}"; do kill -9 "$pid" 2>/dev/null; done
    for pid_file in "$work"/*/pid; do
        pid=$(cat "$pid_file" 2>/dev/null)
        # The number may be another process's by now.
        [[ -n $pid ]] && grep -qsF "$work" "/proc/$pid/cmdline" && kill -9 "$pid" 2>/dev/null
    done
    while read -r _ mount _; do
        [[ $mount == "$work"/* ]] || continue
        umount -l "$mount" 2>/dev/null || fusermount3 -u -z "$mount" 2>/dev/null
    done </proc/mounts
    ((code == 0 || code == 77)) || tail -n 40 "$work"/*/log 2>/dev/null
    rm -rf --one-file-system "$work"
    exit "$code"
}
trap end_all EXIT
trap 'exit 143' INT TERM PIPE

# until_true SECONDS COMMAND...: polls; the bound only ends a hopeless wait.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.02
    done
}

# expect CODE PATTERN COMMAND...: exit code, and a glob that all output must match.
expect() {
    local code=$1 pattern=$2 got=0 output
    shift 2
    output=$("$@" 2>&1 </dev/null) || got=$?
    # shellcheck disable=SC2053
    if ((got != code)) || [[ $output != $pattern ]]; then
        fail "from line ${BASH_LINENO[0]}: '$*' gave $got, expected $code and '$pattern':"$'\n'"$output"
    fi
}

make_volume() { "$MKFS" -f -N 4 -J 256K --lease-ms 4000 --heartbeat-ms 200 "$1" >/dev/null; }

# Says why where sdlmd cannot run at all (no io_uring), so that the test is skipped instead of failed.
need_daemon() {
    local output
    mkdir "$work/probe"
    if output=$("$HB_CTL" -S -d "$disk" --run-dir "$work/probe" probe 2>&1 </dev/null); then
        "$HB_CTL" -K -d "$disk" --run-dir "$work/probe" probe
    elif [[ $output == *io_uring* ]]; then
        skip "$output"
    else
        fail "$output"
    fi
}

need_fuse() {
    [[ -r /dev/fuse && -w /dev/fuse ]] || skip "no access to /dev/fuse"
    command -v fusermount3 >/dev/null || ((EUID == 0)) || skip "no fusermount3"
}

truncate -s 16M "$disk"
make_volume "$disk"
