#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# purity_canary.sh COMPILER: purity.sh must find each of these in an archive, and nothing in a pure one.
set -euo pipefail
command -v nm >/dev/null || { echo "skipped: no nm (package binutils)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

add() {        # add NAME HEADER CODE
    printf '#include <%s>\n%s\n' "$2" "$3" >"$work/$1.cpp"
    "$compiler" -std=c++20 -O1 -c "$work/$1.cpp" -o "$work/$1.o"
    ar rc "$work/a.a" "$work/$1.o"
}

compiler=$1
add clean cstdlib 'struct time_point { int open_count; }; int f(time_point t) { if (!t.open_count) std::abort(); return 0; }'
bash "$(dirname "$0")/purity.sh" "$work/a.a"
add now chrono 'long f() { return std::chrono::steady_clock::now().time_since_epoch().count(); }'
add random random 'unsigned f() { return std::random_device{}(); }'
add time ctime 'long f() { return time(nullptr); }'
add open fcntl.h 'int f() { return open("/x", O_RDONLY); }'
add pread unistd.h 'long f(char* p) { return pread(0, p, 1, 0); }'
add rand cstdlib 'int f() { return rand(); }'
add getenv cstdlib 'char* f() { return getenv("X"); }'
add fopen cstdio 'void* f() { return fopen("x", "r"); }'
add thread pthread.h 'unsigned long f() { return pthread_self(); }'

found=$(bash "$(dirname "$0")/purity.sh" "$work/a.a" 2>&1) && { echo "nothing was found" >&2; exit 1; }
for name in now random time open pread rand getenv fopen thread; do
    [[ $found == *":$name.o "* ]] || { echo "not found: $name.cpp" >&2; exit 1; }
done
[[ $found != *":clean.o "* ]] || { echo "found in the pure object: $found" >&2; exit 1; }
