#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# purity.sh ARCHIVE...: fails when a pure library reaches for a clock, a thread, a file, the environment or chance.
set -euo pipefail
(($# > 0)) || { echo "usage: ${0##*/} ARCHIVE..." >&2; exit 2; }
command -v nm >/dev/null || { echo "skipped: no nm (package binutils)"; exit 77; }

clocks='clock_.*|gettimeofday|time|nanosleep|usleep|sleep|std::chrono::.*::now.*|timer.*'
threads='pthread_.*|std::thread::.*|std::this_thread.*|std::condition_variable.*|std::future.*|fork|system|popen'
files='(f?open|openat|creat|f?read|pread|preadv|f?write|pwrite|pwritev|lseek|stat|fstat|ftruncate|mmap)(64)?|ioctl|std::filesystem.*|std::basic_[io]?f.*|std::basic_filebuf.*'
others='socket|connect|poll|ppoll|epoll_.*|io_uring_.*|fuse_.*|(secure_)?getenv|s?rand(om)?(_r)?|[delmnj]rand48|getrandom|getentropy|arc4random.*|std::random_device.*|syscall'

for archive in "$@"; do [[ -s $archive ]] || { echo "no such archive: $archive" >&2; exit 1; }; done
# Argument lists and symbol versions are cut off, so that a whole name is compared.
found=$(nm -AuC "$@" | sed -n 's/^\(.*\.o\): *[UwvV] /\1 /p' | sed 's/@.*$//; s/(.*$//' |
    grep -E "^[^ ]+ ($clocks|$threads|$files|$others)\$" | sort -u || true)
if [[ -n $found ]]; then
    echo "a pure library uses what only the outer layers may (ARCHITECTURE.md, Layers):" >&2
    echo "$found" >&2
    exit 1
fi
