#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# lint.sh SOURCE-DIR: rules of the house that a compiler does not check.
set -euo pipefail
source_dir=$(cd "$1" && pwd -P)
cd "$source_dir"
bad=0
complain() { echo "$*" >&2; bad=1; }

files=()
if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
    while IFS= read -r -d '' file; do [[ -f $file ]] && files+=("$file"); done < <(git -c safe.directory='*' ls-files -z)
else
    while IFS= read -r -d '' file; do files+=("${file#./}"); done < <(find . -path ./.git -prune -o -path './build*' -prune -o -type f -print0)
fi
((${#files[@]} > 50)) || complain "only ${#files[@]} files found in $source_dir"

scripts=()
for file in "${files[@]}"; do
    case $file in
        *.cpp | *.hpp | *.sh | *CMakeLists.txt | *.[1-8])
            head -n 3 "$file" | grep -q 'SPDX-License-Identifier: LGPL-2.1-or-later' || complain "$file: no SPDX line at its top" ;;
    esac
    case $file in
        *.cpp | *.hpp)
            (($(wc -l <"$file") <= 600)) || complain "$file: more than 600 lines"
            ! LC_ALL=C.UTF-8 grep -nE '^.{161}' "$file" >/dev/null || complain "$file: a line of more than 160 characters" ;;
    esac
    [[ $file == *.sh || $(head -c 11 "$file" | tr -d '\0') == '#!/bin/bash' ]] && scripts+=("$file")
done

if command -v shellcheck >/dev/null; then
    shellcheck -x "${scripts[@]}" || complain "shellcheck: see above"
else
    echo "no shellcheck here: ${#scripts[@]} scripts are not checked"
fi

# The place where this checkout lies is nobody's business, and a path into it works nowhere else.
for place in "$source_dir" "${HOME:-}"; do
    [[ $place == /?*/?* || $place == /root ]] || continue
    hits=$(grep -lIF -- "$place/" "${files[@]}" || true)
    [[ -z $hits ]] || complain "the path $place/ is written in:"$'\n'"$hits"
done

for page in tools/man/*.[1-8]; do
    grep -qw -- "${page##*/}" tools/man/CMakeLists.txt || complain "$page is not installed by tools/man/CMakeLists.txt"
    if command -v man >/dev/null && command -v groff >/dev/null; then
        warnings=$(MANWIDTH=120 man --warnings -E UTF-8 -l -Tutf8 "$page" 2>&1 >/dev/null || true)
        [[ -z $warnings ]] || complain "$page: $warnings"
    fi
done
exit "$bad"
