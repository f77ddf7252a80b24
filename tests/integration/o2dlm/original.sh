#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# original.sh TEST-PROGRAM SOURCE-FILE: the tests once more, on a program with the original static libo2dlm inside, over
# the preloaded object. Takes the library from the system, or else fetches Debian's package for the moment.
set -euo pipefail
test_program=$1
source=$2
skip() { echo "skipped: $*"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/var/tmp}/sdlm-test.XXXXXX")
trap 'rm -rf "$work"' EXIT

find_in() { find "$1" -name libo2dlm.a -path '*lib*' -print -quit 2>/dev/null; }
root=
if [[ -f /usr/include/o2dlm/o2dlm.h ]]; then
    archive=$(find_in /usr/lib)
else
    { command -v apt-get && command -v dpkg; } >/dev/null || skip "ocfs2-tools-dev is not here, nor is apt-get"
    (cd "$work" && timeout 60 apt-get -q download ocfs2-tools-dev) >"$work/log" 2>&1 ||
        skip "ocfs2-tools-dev cannot be fetched: $(tail -n 1 "$work/log")"
    root=$work/root
    dpkg -x "$work"/ocfs2-tools-dev_*.deb "$root"
    archive=$(find_in "$root/usr/lib")
fi
[[ -n $archive ]] || skip "no libo2dlm.a in ocfs2-tools-dev"

# All of com_err's header that the original's needs, where comerr-dev is not installed.
mkdir -p "$work/et"
[[ -f /usr/include/et/com_err.h ]] ||
    printf 'typedef long errcode_t;\nstruct error_table;\nstruct et_list;\n' >"$work/et/com_err.h"
"${CC:-cc}" -O2 -I "$work" ${root:+-I "$root/usr/include"} "$source" "$archive" -ldl -o "$work/program"
SDLM_TEST_O2DLM_ORIGINAL=$work/program "$test_program" --gtest_filter='Library/*'
