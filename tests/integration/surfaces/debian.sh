# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Debian's programs, unpacked below the test's directory rather than installed: their packages would start services.
# Needs common.sh first. Skips the test where they cannot be had.
# shellcheck disable=SC2154

# need_debian PACKAGE...: afterwards $debian has them unpacked and $debian_libraries is their LD_LIBRARY_PATH.
need_debian() {
    local package
    debian=$work/debian
    mkdir -p "$debian/archives"
    command -v apt-get >/dev/null || skip "no apt-get"
    (cd "$debian/archives" && apt-get -q download "$@") >"$work/apt.log" 2>&1 ||
        skip "packages cannot be had ($*): $(tail -n 1 "$work/apt.log")"
    for package in "$debian"/archives/*.deb; do dpkg -x "$package" "$debian/root"; done
    debian=$debian/root
    debian_libraries=$(printf '%s:' "$debian"/usr/lib/*-linux-gnu* "$debian"/lib/*-linux-gnu*)
}

# need_libraries PROGRAM...: skips when one has no library to run with.
need_libraries() {
    local missing
    missing=$(LD_LIBRARY_PATH=$LIBDLM:$debian_libraries ldd "$@" | grep 'not found' | sort -u || true)
    [[ -z $missing ]] || skip "libraries are missing:" "$missing"
}

start_node() {
    "$SDLMD" --device "$disk" --node "$1" --name "host$1" --run-dir "$work/$1" >"$work/log$1" 2>&1 &
    children+=("$!")
    until_true 30 grep -q 'live as node' "$work/log$1" || fail "node $1 does not get live: $(<"$work/log$1")"
}
