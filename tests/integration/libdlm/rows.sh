#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# rows.sh ROWS.md TEST_PROGRAM...: every row of sections 2 to 11 is there, in order, and names tests that exist.
set -u
rows=$1
shift
bad=0
complain() {
    echo "${rows##*/}:$1"
    bad=1
}

# Suites and tests as --gtest_list_tests prints them, without parameters.
known=$(for program in "$@"; do
    "$program" --gtest_list_tests || exit 1
done | sed -E 's/ *#.*//' | awk '
    /^[^ ]+\.$/ { suite = $1; sub(/^.*\//, "", suite); sub(/\/[^.]*\.$/, ".", suite); next }
    /^  / { name = $1; sub(/\/.*/, "", name); print suite name }')
[ -n "$known" ] || { echo "no tests listed by: $*"; exit 1; }

section=1 row=0 line_number=0
while IFS= read -r line; do
    line_number=$((line_number + 1))
    case $line in
        "## §"*)
            [ "$section" = 1 ] || [ "$row" -gt 0 ] || complain "$line_number: section $section has no rows"
            number=${line#"## §"}
            number=${number%% *}
            [ "$number" = $((section + 1)) ] || complain "$line_number: section $number follows $section"
            section=$number row=0 ;;
        "| "[0-9]*)
            number=${line#"| "}
            number=${number%% *}
            row=$((row + 1))
            [ "$number" = "$section.$row" ] || complain "$line_number: row $number where $section.$row belongs"
            tests=$(grep -oE "\`[A-Za-z]+\.[A-Za-z0-9_]+\`" <<<"$line" | tr -d "\`")
            [ -n "$tests" ] || complain "$line_number: row $number names no test"
            for test in $tests; do
                grep -qxF "$test" <<<"$known" || complain "$line_number: row $number: there is no test $test"
            done ;;
    esac
done <"$rows"
[ "$section" = 11 ] || complain " ends with section $section, not 11"
exit $bad
