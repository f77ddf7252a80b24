#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run_spin.sh MODEL safety|livelock|bug|livelock-bug [-D...]: checks one configuration of a model completely; the two
# `bug` modes expect that an error is found.
# Exit code 0: as expected; 1: not; 77: spin is not installed. MEMORY_MB bounds the check (3500).
set -u
model=$1
mode=$2
shift 2
for tool in spin cc; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "skipped: $tool is not installed (Debian package $([ "$tool" = spin ] && echo spin || echo gcc))"
        exit 77
    fi
done
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cp "$model" "$work/model.pml" && cd "$work" || exit 1

case $mode in
safety | bug) compile="-DSAFETY" run="" model_flags="" ;;
livelock | livelock-bug) compile="-DNP -DNFAIR=4" run="-l -f" model_flags="-DLIVELOCK" ;;
*)
    echo "run_spin.sh: mode must be safety, livelock, bug or livelock-bug, not \"$mode\""
    exit 1
    ;;
esac
# shellcheck disable=SC2086  # lists of flags
defines=$*
spin $model_flags "$@" -a model.pml >spin.log 2>&1 || { cat spin.log; exit 1; }
# shellcheck disable=SC2086
cc -O2 -w -DCOLLAPSE -DMEMLIM="${MEMORY_MB:-3500}" $compile -o pan pan.c || exit 1
# shellcheck disable=SC2086
./pan -m2000000 $run >pan.log 2>&1
grep -E 'errors:|states, stored|total actual|elapsed|assertion|non-progress|invalid end|max search|memory' pan.log
if grep -q -E 'max search depth too small|reached -DMEMLIM|out of memory' pan.log; then
    echo "not checked completely"
    exit 1
fi
errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
case $mode in
bug | livelock-bug) [ "${errors:-0}" -gt 0 ] || { echo "the planted bug was not found"; exit 1; } ;;
*)
    [ "${errors:-1}" -eq 0 ] && exit 0
    # shellcheck disable=SC2086
    spin -t $model_flags $defines model.pml 2>/dev/null | grep -E 'node|error|assert|cycle' | tail -"${TRAIL_LINES:-80}"
    exit 1
    ;;
esac
