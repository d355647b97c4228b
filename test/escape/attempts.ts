/** An attempt to get out of a step. The script ends with 0 if it got something that is not the step's own. */
export interface Attempt {
  readonly what: string;
  readonly script: string;
  /** The vulnerability in another runtime whose class it is of. */
  readonly after?: string;
  /** Rungs on which it cannot be tried, or on which what it gets is the step's own. */
  readonly not?: readonly Isolation[];
}

/** A rung, by the name that `kiln doctor --json` has for it. */
export type Isolation = "root" | "subordinate-ids" | "single-id" | "chroot";

/** A class of attempts; each class is one RUN. */
export interface EscapeClass {
  readonly name: string;
  readonly attempts: readonly Attempt[];
  /** Flags of its RUN. */
  readonly flags?: string;
  readonly not?: readonly Isolation[];
}

/** Without mounts, what stands for /proc and /sys is made of the step's own files; what is written there goes nowhere. */
const OWN_FILES: readonly Isolation[] = ["chroot"];
/** In a PID namespace, PID 1 is the step's own. */
const OWN_PROCESSES: readonly Isolation[] = ["root", "subordinate-ids", "single-id"];

/** System calls by their numbers on x86-64 and, by `int 0x80`, on i386. Each would be an escape, or the start of one. */
const CALLS: readonly (readonly [name: string, wide: number, narrow: number])[] = [
  ["mount", 165, 21],
  ["umount2", 166, 52],
  ["pivot_root", 155, 217],
  ["unshare(user)", 272, 310],
  ["setns", 308, 346],
  ["open_tree", 428, 428],
  ["move_mount", 429, 429],
  ["fsopen", 430, 430],
  ["fsmount", 432, 432],
  ["mount_setattr", 442, 442],
  ["bpf", 321, 357],
  ["perf_event_open", 298, 336],
  ["userfaultfd", 323, 374],
  ["io_uring_setup", 425, 425],
  ["keyctl", 250, 288],
  ["add_key", 248, 286],
  ["request_key", 249, 287],
  ["init_module", 175, 128],
  ["finit_module", 313, 350],
  ["delete_module", 176, 129],
  ["kexec_load", 246, 283],
  ["reboot", 169, 88],
  ["swapon", 167, 87],
  ["acct", 163, 51],
  ["settimeofday", 164, 79],
  ["clock_settime", 227, 264],
  ["sethostname", 170, 74],
  ["setdomainname", 171, 121],
  ["syslog", 103, 103],
  ["quotactl", 179, 131],
  ["open_by_handle_at", 304, 342],
  ["iopl", 172, 110],
  ["ioperm", 173, 101],
  ["pidfd_getfd", 438, 438],
  ["fanotify_init", 300, 338],
  ["lookup_dcookie", 212, 253],
  ["nfsservctl", 180, 169],
];

/**
 * The attempts, by class. Those that need a program of ours have it as /escape/call (test/escape/call.c).
 * @param secret path of a file outside of every image that all users may read
 */
export function escapeClasses(secret: string): readonly EscapeClass[] {
  return [
    {
      name: "device inodes",
      attempts: [
        { what: "a disk by its numbers", script: "mknod /t/disk b 254 0 && head -c1 /t/disk | grep -q ." },
        { what: "a disk in /dev", script: "mknod /dev/disk b 254 0 && head -c1 /dev/disk | grep -q ." },
        { what: "a disk in /dev/shm", script: "mknod /dev/shm/disk b 8 0 && head -c1 /dev/shm/disk | grep -q ." },
        {
          what: "mounting a disk by its node",
          script: "mknod /t/d2 b 254 0; mount /t/d2 /mnt",
        },
        { what: "the memory", script: "mknod /t/mem c 1 1 && head -c1 /t/mem | grep -q ." },
        { what: "the ports", script: "mknod /t/port c 1 4 && head -c1 /t/port | grep -q ." },
        { what: "kernel messages", script: "mknod /t/kmsg c 1 11 && timeout 1 head -c1 /t/kmsg | grep -q ." },
        { what: "a new loop device", script: "mknod /t/loop c 10 237 && /escape/call 64 16 0 19586 0 < /t/loop" },
        { what: "a virtual machine", script: "mknod /t/kvm c 10 232 && /escape/call 64 16 0 44544 0 < /t/kvm" },
        { what: "the caller's terminal", script: ": < /dev/console" },
      ],
    },
    {
      name: "links and magic links",
      attempts: [
        { what: "PID 1's root", after: "CVE-2024-21626", script: `cat /proc/1/root${secret}` },
        {
          what: "PID 1's working directory",
          after: "CVE-2024-21626",
          script: `cat /proc/1/cwd/../../../../..${secret}`,
        },
        {
          what: "a leaked descriptor",
          after: "CVE-2024-21626",
          script: `for fd in /proc/*/fd/*; do cat "$fd/../../../../../../..${secret}" && exit 0; done; exit 1`,
        },
        {
          what: "the directory of a descriptor",
          after: "CVE-2024-21626",
          script: `for n in 3 4 5 6 7 8 9 10 11 12; do (cd /proc/self/fd/$n && cat ../../../../../..${secret}) && exit 0; done; exit 1`,
        },
        { what: "a link upwards", script: `ln -s ../../../../../../../..${secret} /t/up && cat /t/up` },
        { what: "the parent's root", script: `cat /proc/$PPID/root${secret}` },
        {
          what: "every process's root",
          script: `for p in /proc/[0-9]*; do cat $p/root${secret} && exit 0; done; exit 1`,
        },
        {
          what: "a second chroot",
          script: `mkdir -p /t/c && cp /bin/busybox /t/c/ && chroot /t/c /busybox cat ../../../../../..${secret}`,
        },
        { what: "the file by its own path", script: `cat ${secret}` },
        { what: "the file through /dev/fd", script: `cat /dev/fd/../../..${secret}` },
      ],
    },
    {
      name: "mounts",
      attempts: [
        { what: "a new tmpfs", after: "CVE-2022-0185", script: "mount -t tmpfs x /mnt" },
        { what: "a bind", script: "mount --bind / /mnt" },
        { what: "a new proc", script: "mount -t proc x /mnt" },
        { what: "a new sysfs", script: "mount -t sysfs x /mnt" },
        {
          what: "an overlay",
          after: "CVE-2023-0386",
          script: "mkdir -p /t/u /t/w; mount -t overlay -o lowerdir=/etc,upperdir=/t/u,workdir=/t/w x /mnt",
        },
        { what: "a debugfs", script: "mount -t debugfs x /mnt" },
        { what: "/proc/sys made writable", script: "mount -o remount,rw /proc/sys" },
        { what: "a mask taken off", script: "umount /proc/keys || umount /proc/kcore || umount /sys/firmware" },
        { what: "devices allowed on the root", script: "mount -o remount,dev /" },
        { what: "the root moved", script: "pivot_root / /mnt" },
      ],
    },
    {
      name: "namespaces",
      attempts: [
        { what: "a user namespace", after: "CVE-2022-0492", script: "unshare -U true" },
        { what: "a mount namespace", script: "unshare -m true" },
        { what: "a network namespace", script: "unshare -n true" },
        { what: "a PID namespace", script: "unshare -p true" },
        { what: "PID 1's namespaces", script: "nsenter -t 1 -m true" },
        { what: "the parent's", script: "nsenter -t $PPID -n true" },
      ],
    },
    {
      name: "files of the kernel",
      attempts: [
        {
          what: "core_pattern",
          after: "CVE-2022-0811",
          script: "echo '|/t/x' > /proc/sys/kernel/core_pattern",
          not: OWN_FILES,
        },
        { what: "modprobe's path", script: "echo /t/x > /proc/sys/kernel/modprobe", not: OWN_FILES },
        { what: "a setting of the network", script: "echo 1 > /proc/sys/net/ipv4/ip_forward", not: OWN_FILES },
        { what: "a setting of the memory", script: "echo 1 > /proc/sys/vm/drop_caches", not: OWN_FILES },
        { what: "binfmt_misc", script: "echo ':x:M::x::/t/x:' > /proc/sys/fs/binfmt_misc/register" },
        { what: "a sysrq", script: "echo h > /proc/sysrq-trigger", not: OWN_FILES },
        { what: "uevent_helper", script: "echo /t/x > /sys/kernel/uevent_helper", not: OWN_FILES },
        { what: "the core image", script: "head -c1 /proc/kcore | grep -q ." },
        { what: "the keys", script: "grep -q . /proc/keys" },
        { what: "kernel symbols", script: "grep -qv '^0*[ ]' /proc/kallsyms" },
        { what: "the firmware", script: "ls /sys/firmware | grep -q ." },
        { what: "the processor's power", after: "CVE-2020-8694", script: "cat /sys/class/powercap/*/energy_uj" },
        { what: "a priority of the machine's memory killer", script: "echo -1000 > /proc/1/oom_score_adj" },
      ],
    },
    {
      name: "cgroups",
      attempts: [
        { what: "a v1 hierarchy", after: "CVE-2022-0492", script: "mount -t cgroup -o memory x /mnt" },
        { what: "a v2 hierarchy", script: "mount -t cgroup2 x /mnt" },
        {
          what: "a release_agent",
          after: "CVE-2022-0492",
          script: "for f in $(find /sys/fs/cgroup -name release_agent); do echo /t/x > $f && exit 0; done; exit 1",
          not: OWN_FILES,
        },
        {
          what: "a new group",
          script:
            "mkdir /sys/fs/cgroup/x || find /sys/fs/cgroup -maxdepth 1 -type d -exec mkdir {}/x \\;; ls -d /sys/fs/cgroup/x",
          not: OWN_FILES,
        },
        { what: "another group", script: "echo $$ > /sys/fs/cgroup/cgroup.procs", not: OWN_FILES },
      ],
    },
    {
      name: "processes",
      attempts: [
        { what: "PID 1's memory map", after: "CVE-2016-9962", script: "grep -q . /proc/1/maps" },
        {
          what: "PID 1's files",
          after: "CVE-2016-9962",
          script: 'for f in /proc/1/fd/*; do cat "$f" && exit 0; readlink "$f" && exit 0; done; exit 1',
        },
        { what: "PID 1's environment", script: "grep -q . /proc/1/environ" },
        { what: "PID 1's program", after: "CVE-2019-5736", script: "cat /proc/1/exe > /dev/null" },
        { what: "PID 1's program, written to", after: "CVE-2019-5736", script: "echo x >> /proc/1/exe" },
        { what: "the parent's memory", script: "head -c1 /proc/$PPID/mem" },
        {
          what: "a process of others",
          script: `for p in /proc/[0-9]*; do grep -q "[d]ockerd\\|[s]ystemd\\|[k]iln.blob" $p/cmdline && exit 0; done; exit 1`,
        },
        { what: "PID 1's end", script: "kill -9 1; sleep 0.1; kill -0 1 && exit 1" },
        {
          what: "the limits of a process of others",
          script: "/escape/call 64 302 1 7 /escape/limit 0",
          not: OWN_PROCESSES,
        },
        { what: "PID 1 traced", script: "/escape/call 64 101 16 1 0 0" },
      ],
    },
    {
      name: "network",
      attempts: [
        { what: "packets, raw", after: "CVE-2020-14386", script: "/escape/call 64 41 17 3 768" },
        { what: "packets, cooked", script: "/escape/call 64 41 17 2 768" },
        { what: "packets, by the old type", script: "/escape/call 64 41 2 10 768" },
        { what: "a raw socket of TCP", script: "/escape/call 64 41 2 3 6" },
        { what: "a raw socket of everything", script: "/escape/call 64 41 2 3 255" },
        { what: "the kernel's crypto", script: "/escape/call 64 41 38 5 0" },
        { what: "the hypervisor", script: "/escape/call 64 41 40 1 0" },
        { what: "packets, by a 32-bit call", script: "/escape/call 32 359 17 3 768" },
        { what: "sockets, by the 32-bit multiplexer", script: "/escape/call 32 102 1 0" },
        { what: "a new interface", script: "ip link add dummy9 type dummy" },
        { what: "an address", script: "ip addr add 10.9.9.9/32 dev lo" },
        { what: "a route", script: "ip route add 10.9.9.0/24 dev lo" },
      ],
    },
    {
      name: "no network",
      flags: "--network=none",
      not: ["chroot"],
      attempts: [
        { what: "an interface beside loopback", script: "ls /sys/class/net | grep -qv '^lo$'" },
        { what: "a route", script: "ip route | grep -q ." },
        { what: "abstract sockets of the machine", script: "grep -q @ /proc/net/unix" },
      ],
    },
    {
      name: "attributes and privileges",
      attempts: [
        { what: "an immutable file", script: "touch /t/i && chattr +i /t/i" },
        { what: "all capabilities", script: "grep -q 'Cap...:.*ffffff' /proc/self/status" },
        {
          what: "the clock",
          script: 'date -s 2000-01-01 2>&1 | grep -q "can\'t set" && exit 1; test $(date +%Y) = 2000',
        },
        { what: "the host name, for others", script: "hostname owned" },
        { what: "swap", script: "dd if=/dev/zero of=/t/s bs=4096 count=10; mkswap /t/s; swapon /t/s" },
        { what: "a reboot", script: "reboot -f; poweroff -f; exit 1" },
        { what: "kernel messages", script: "dmesg | grep -q ." },
        { what: "a module", script: "insmod /bin/busybox" },
      ],
    },
    {
      name: "terminals and keys",
      attempts: [
        {
          what: "a character for the caller's shell",
          after: "CVE-2017-5226",
          script: "/escape/call 64 16 0 21522 /escape/limit; exit $?",
        },
        {
          what: "the console's selection",
          after: "CVE-2023-1523",
          script: "/escape/call 64 16 0 21532 /escape/limit; exit $?",
        },
        { what: "a controlling terminal", script: ": < /dev/tty" },
        { what: "a terminal of others", script: "for t in /dev/pts/[0-9]*; do : < $t && exit 0; done; exit 1" },
      ],
    },
    {
      name: "system calls by number, 64 bits",
      attempts: CALLS.map(([name, wide]) => ({ what: name, script: `/escape/call refused 64 ${wide}` })),
    },
    {
      name: "system calls by number, 32 bits",
      attempts: CALLS.map(([name, , narrow]) => ({ what: name, script: `/escape/call refused 32 ${narrow}` })),
    },
  ];
}

/** The attempts as the table of docs/security.md. */
export function escapeTable(): string {
  const rows = escapeClasses("/outside").map(({ name, attempts, not = [] }) => {
    const after = [...new Set(attempts.flatMap((one) => one.after ?? []))].toSorted().join(", ");
    const rungs = RUNGS.map((rung) => {
      const tried = attempts.filter((one) => !not.includes(rung) && one.not?.includes(rung) !== true).length;
      return tried === 0 ? "-" : `${tried}`;
    });
    return [name, ...rungs, after].join(" | ");
  });
  const head = ["class", ...RUNGS, "of the class of"].join(" | ");
  return [
    head,
    Array(RUNGS.length + 2)
      .fill("---")
      .join(" | "),
    ...rows,
  ]
    .map((row) => `| ${row} |`.replace("|  |", "| |"))
    .join("\n");
}

const RUNGS: readonly Isolation[] = ["root", "subordinate-ids", "single-id", "chroot"];
