#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Debian's lvmlockd over two nodes: a shared volume group, one logical volume, two hosts that want it. A host is a mount
# namespace with a /run of its own. LVM is told to leave the kernel's device-mapper alone (--driverloaded n): what is
# tested is its locking, and machines without device-mapper can run it.
# shellcheck disable=SC2016,SC2153,SC2154
# shellcheck source=tests/integration/tools/common.sh
. "$(dirname "$0")/../tools/common.sh"
# shellcheck source=tests/integration/surfaces/debian.sh
. "$(dirname "$0")/debian.sh"
((EUID == 0)) || skip "needs root"
unshare -m true 2>/dev/null || skip "no mount namespaces"
[[ -n $(command -v losetup) && -n $(command -v nsenter) ]] || skip "no losetup or nsenter"
need_daemon
need_debian lvm2 lvm2-lockd libsanlock-client1 libdevmapper-event1.02.1 libdevmapper1.02.1 libaio1 libedit2 libbsd0
need_libraries "$debian/sbin/lvm" "$debian/sbin/lvmlockd" "$debian/sbin/lvmlockctl"

truncate -s 64M "$work/pv.img"
device=$(losetup --find --show "$work/pv.img" 2>&1) || skip "no loop device: $device"
detach() {
    local code=$?
    set +e
    losetup -d "$device"
    (exit "$code")
    end_all
}
trap detach EXIT

make_host() {
    local node=$1
    mkdir -p "$work/etc$node"
    cat >"$work/etc$node/lvm.conf" <<CONF
global { use_lvmlockd = 1  locking_dir = "/run/lock/lvm"  event_activation = 0  use_lvmpolld = 0 }
devices { use_devicesfile = 0  obtain_device_list_from_udev = 0  external_device_info_source = "none"
          multipath_component_detection = 0  md_component_detection = 0
          filter = [ "a|^$device\$|", "r|.*|" ] }
activation { udev_sync = 0  udev_rules = 0  monitoring = 0 }
local { host_id = $((node + 1)) }
backup { backup = 0  archive = 0 }
CONF
    unshare -m --propagation private bash -c \
        'mount -t tmpfs run /run && mkdir -p /run/lvm /run/lock/lvm && echo >"$0" && exec sleep infinity' "$work/up$node" &
    host[node]=$!
    children+=("$!")
    until_true 30 test -s "$work/up$node" || fail "no namespace for host $node"
}
on() {
    nsenter -t "${host[$1]}" -m env LVM_SYSTEM_DIR="$work/etc$1" LVM_SUPPRESS_FD_WARNINGS=1 PATH="$debian/sbin:$PATH" \
        LD_LIBRARY_PATH="$debian_libraries" "${@:2}"
}
# lvm NODE COMMAND...
lvm() { on "$1" lvm "$2" --driverloaded n "${@:3}"; }
start_lvmlockd() {
    nsenter -t "${host[$1]}" -m env LD_LIBRARY_PATH="$debian_libraries" "$SDLM" --run-dir "$work/$1" with-dlm -- \
        "$debian/sbin/lvmlockd" -g dlm -f -D >>"$work/lvmlockd$1" 2>&1 &
    lockd[$1]=$!
    children+=("$!")
    until_true 30 on "$1" lvmlockctl -i >/dev/null 2>&1 || fail "lvmlockd $1 does not start: $(<"$work/lvmlockd$1")"
}
host=()
lockd=()
for node in 0 1; do
    start_node $node
    make_host $node
    start_lvmlockd $node
done

expect 0 "*successfully created*" lvm 0 pvcreate "$device"
expect 0 "*successfully created*starting dlm lockspace*" lvm 0 vgcreate --shared vg "$device"
[[ $(<"$work/0/dlm/cluster/cluster_name") == "$(on 0 lvm vgs --driverloaded n --noheadings -o lock_args vg 2>/dev/null |
    sed 's/.*://; s/ *$//')" ]] || fail "the group does not carry the cluster's name"
expect 0 "*starting dlm lockspace*" lvm 1 vgchange --lock-start vg
expect 0 "*created*" lvm 0 lvcreate -an -Zn -Wn -L 8M -n lv vg

refused="*LV locked by other host*"
expect 0 "*" lvm 0 lvchange -aey vg/lv
expect 5 "$refused" lvm 1 lvchange -aey vg/lv
expect 5 "$refused" lvm 1 lvchange -asy vg/lv
expect 5 "$refused" lvm 1 lvremove -y vg/lv
expect 0 "*LK LV ex*" on 0 lvmlockctl -i
expect 0 "*" lvm 0 lvchange -aen vg/lv
expect 0 "*" lvm 1 lvchange -aey vg/lv
expect 5 "$refused" lvm 0 lvchange -aey vg/lv
expect 0 "*" lvm 1 lvchange -an vg/lv
expect 0 "*" lvm 0 lvchange -asy vg/lv
expect 0 "*" lvm 1 lvchange -asy vg/lv
expect 5 "$refused" lvm 1 lvchange -aey vg/lv
expect 0 "*" lvm 0 lvchange -an vg/lv
# What host 0 changes, host 1 sees: the version in the value block of the group's lock.
expect 0 "*" lvm 0 vgchange --addtag seen vg
expect 0 "*seen*" lvm 1 vgs --noheadings -o vg_tags vg

# lvmlockd is killed: its locks are orphans and hold on. (The next one would adopt them, but asks device-mapper first which
# volumes are active, and gives up without it.)
expect 0 "*" lvm 1 lvchange -aey vg/lv
kill -9 "${lockd[1]}"
wait "${lockd[1]}" 2>/dev/null || true
expect 5 "$refused" lvm 0 lvchange -aey vg/lv
orphan() { grep -q ' 85 3 2 5 -1 ' "$work/1/debug/lvm_vg_locks"; }
until_true 30 orphan || fail "no orphan: $(<"$work/1/debug/lvm_vg_locks")"
# The node dies: the other host takes over.
kill -9 "$(<"$work/1/pid")"
takes_over() { lvm 0 lvchange -aey vg/lv >"$work/over" 2>&1; }
until_true 60 takes_over || fail "no take-over: $(<"$work/over")"
alone() { [[ $(cd "$work/0/dlm/cluster/spaces/lvm_vg/nodes" && echo *) == 1 ]]; }
until_true 30 alone || fail "the dead node is still shown as a member"
expect 0 "*" lvm 0 lvchange -an vg/lv
expect 0 "*removed*" lvm 0 lvremove -y vg/lv
expect 0 "*removed*" lvm 0 vgremove -y vg
