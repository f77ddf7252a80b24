#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# measure.sh SOURCE-DIR SIMULATOR OBJECT-DIR PERCENT SEEDS [FIRST]: runs the simulation and prints which share of the
# lines of the pure cores it has reached, per file. Exit code 1: less than PERCENT of all lines, or a violation.
# SDLM_COVERAGE_LINES=1 also prints every line that was not reached.
set -euo pipefail
source_dir=$(cd "$1" && pwd -P)
simulator=$2 objects=$3 bound=$4 seeds=$5 first=${6:-1}
command -v gcov >/dev/null || { echo "skipped: no gcov (package gcc)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The counters go into a folder of their own, so that two measurements do not mix. All kinds of runs count: with every
# fault, without any, and with stalls only.
export GCOV_PREFIX=$work
run() {
    "$simulator" --seconds 60 "$@" || { echo "the simulation found a violation: see above" >&2; exit 1; }
}
few=$(((seeds + 4) / 5))
run --seed "$first" --seeds "$seeds"
run --seed "$first" --seeds "$few" --faults none
run --seed "$first" --seeds "$few" --faults mild
unset GCOV_PREFIX

# A file of which the linker has taken nothing has no counters: none of its lines was reached.
notes=()
while IFS= read -r -d '' file; do
    mkdir -p "$work$(dirname "$file")"
    ln -s "$file" "$work$file"
    notes+=("$work$file")
done < <(find "$(cd "$objects" && pwd -P)" -name '*.gcno' -print0)
((${#notes[@]} > 0)) || { echo "$objects: no files that count" >&2; exit 1; }

# "COUNT:LINE:TEXT" per line; a line of a header comes once per file that includes it, and was reached if it was in one
# of them.
cd "$work"
gcov --stdout "${notes[@]}" 2>"$work/errors" >"$work/lines" || { cat "$work/errors" >&2; exit 1; }
awk -F: -v root="$source_dir/" -v bound="$bound" -v show="${SDLM_COVERAGE_LINES:-0}" '
    $1 ~ /^ *-$/ && $3 == "Source" {
        file = substr($0, index($0, "Source:") + 7)
        counted = index(file, root) == 1
        file = substr(file, length(root) + 1)
        counted = counted && file ~ /^(heartbeat|locks\/core|locks\/node)\//
        next
    }
    !counted || NF < 3 || $1 ~ /^ *-$/ || $2 !~ /^ *[0-9]+$/ { next }
    {
        key = file ":" ($2 + 0)
        if (!(key in hit)) {
            hit[key] = 0; of[key] = file; order[++n] = key
            text[key] = $0; sub(/^[^:]*:[^:]*:/, "", text[key])
        }
        if ($1 !~ /#####|=====/) hit[key] = 1
    }
    END {
        for (i = 1; i <= n; ++i) { lines[of[order[i]]]++; reached[of[order[i]]] += hit[order[i]] }
        for (file in lines) names[++files] = file
        for (i = 2; i <= files; ++i)
            for (j = i; j > 1 && names[j] < names[j - 1]; --j) {
                swap = names[j]; names[j] = names[j - 1]; names[j - 1] = swap
            }
        row = "%6.1f %%  %4d of %4d lines  %s\n"
        for (i = 1; i <= files; ++i) {
            file = names[i]
            printf row, 100 * reached[file] / lines[file], reached[file], lines[file], file
            all += lines[file]; all_reached += reached[file]
        }
        if (show) for (i = 1; i <= n; ++i) if (!hit[order[i]]) print "not reached: " order[i] ":" text[order[i]]
        if (all == 0) { print "no line was counted"; exit 1 }
        percent = 100 * all_reached / all
        printf row, percent, all_reached, all, "of the pure cores reached by the simulation; bound " bound " %"
        exit percent < bound
    }' "$work/lines"
