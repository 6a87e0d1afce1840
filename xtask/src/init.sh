#!/bin/busybox sh
# The first process of a VM: it mounts what a Linux machine has, loads the modules, runs /command with its output on
# the second serial port, says there with which code that ended, and powers off. xtask/src/vm.rs fills in the words
# between at signs and reads what comes out.
export PATH=/bin HOME=/root TCPWATCH_BIN=/bin/tcpwatch TCPWATCH_EMULATED=1
/bin/busybox mkdir -p /proc /sys /dev
/bin/busybox --install -s /bin 2>/dev/null
unset TERM

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
for module in /modules/*.ko; do
    parameters=
    case $module in
    # Else it would come with a device that a test may want to make.
    *-dummy.ko) parameters=numdummies=0 ;;
    esac
    insmod "$module" $parameters || echo "cannot load $module"
done
ip link set lo up
hostname vm

# From here on the console shows what the kernel complains about, and nothing else.
dmesg -n 7
stty -F /dev/ttyS1 raw -echo
cd /root
printf '@MARKER@ ready\n' >/dev/ttyS1
timeout -s KILL @LIMIT@ /bin/sh /command </dev/null >/dev/ttyS1 2>&1
printf '@MARKER@ exit %s\n' $? >/dev/ttyS1
poweroff -f
