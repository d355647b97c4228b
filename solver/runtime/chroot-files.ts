import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import { O_DIRECTORY, O_PATH, S_IFCHR, S_IFREG, S_IFSOCK } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";
import { DEVICE_LINKS, DEVICES } from "./policy/paths.ts";

/*
 * Placeholders for /dev, /proc and /sys where they cannot be mounted. The files are empty and only visible:
 * kiln-runtime (program/pretend/proc-files.c) answers an open with the real one.
 */

/** Files of each process that programs look at. */
const OF_PROCESS =
  "status stat statm maps smaps cmdline environ limits cgroup comm io auxv oom_score oom_score_adj loginuid uid_map gid_map setgroups mounts mountinfo exe";

/** Files of the whole system, relative to /proc. */
const OF_SYSTEM = [
  ..."cpuinfo meminfo stat uptime loadavg version filesystems devices cmdline swaps partitions diskstats vmstat modules mounts".split(
    " ",
  ),
  ..."osrelease ostype version hostname domainname pid_max threads-max cap_last_cap shmmax shmall shmmni msgmax msgmnb sem"
    .split(" ")
    .map((name) => `sys/kernel/${name}`),
  ..."overflowuid overflowgid ngroups_max core_pattern random/uuid random/boot_id random/entropy_avail yama/ptrace_scope"
    .split(" ")
    .map((name) => `sys/kernel/${name}`),
  ..."overcommit_memory overcommit_ratio max_map_count swappiness mmap_min_addr"
    .split(" ")
    .map((name) => `sys/vm/${name}`),
  ..."file-max file-nr nr_open pipe-max-size inotify/max_user_watches inotify/max_user_instances"
    .split(" ")
    .map((name) => `sys/fs/${name}`),
  ..."core/somaxconn ipv4/ip_forward ipv4/ip_local_port_range ipv6/conf/all/disable_ipv6"
    .split(" ")
    .map((name) => `sys/net/${name}`),
  ..."dev route tcp tcp6 udp udp6 unix if_inet6".split(" ").map((name) => `self/net/${name}`),
];

/** Directories of /sys, and files in them, that programs look for. */
const OF_SYSFS = [
  ..."block/ bus/ class/net/ dev/ devices/system/node/ firmware/ fs/cgroup/ kernel/mm/transparent_hugepage/ module/ power/".split(
    " ",
  ),
  ..."online possible present".split(" ").map((name) => `devices/system/cpu/${name}`),
  ..."cgroup.controllers cpu.max cpuset.cpus.effective memory.max memory.current pids.max"
    .split(" ")
    .map((name) => `fs/cgroup/${name}`),
  ..."enabled defrag hpage_pmd_size".split(" ").map((name) => `kernel/mm/transparent_hugepage/${name}`),
];

/** Number of descriptors: as many as bash uses for `<(command)`, and fewer than any limit. */
const DESCRIPTORS = 64;

/** A directory of the tree that is still to be made: where, and under which name. */
interface Place {
  readonly parent: number;
  readonly name: string;
}

export function makeDevices(native: Native, { parent, name }: Place): void {
  const fd = makeDirectory(native, { parent, name });
  for (const [node, [major, minor]] of Object.entries(DEVICES)) {
    makeNode(native, { parent: fd, name: node }, { major, minor });
    native.fchmodat(fd, node, 0o666);
  }
  for (const [link, target] of DEVICE_LINKS) native.symlinkat(target, fd, posix.basename(link));
  native.mkdirat(fd, "pts", 0o755);
  makeNode(native, { parent: fd, name: "pts/ptmx" }, { major: 5, minor: 2 });
  native.fchmodat(fd, "pts/ptmx", 0o666);
  native.mkdirat(fd, "shm", 0o700);
  native.fchmodat(fd, "shm", 0o1777);
  native.close(fd);
}

export function makeProc(native: Native, place: Place): void {
  const fd = makeDirectory(native, place);
  makeFiles(native, fd, [
    ...OF_PROCESS.split(" ").map((name) => `self/${name}`),
    "self/fd/",
    "self/task/",
    "sys/",
    ...OF_SYSTEM,
  ]);
  for (const [link, target] of [
    ["thread-self", "self"],
    ["net", "self/net"],
    ["self/cwd", "."],
    ["self/root", "/"],
  ] as const)
    native.symlinkat(target, fd, link);
  // Sockets, because opening one through an unanswered link fails at once instead of waiting.
  for (let number = 0; number < DESCRIPTORS; number += 1) native.mknodat(fd, `self/fd/${number}`, S_IFSOCK | 0o666);
  native.close(fd);
}

export function makeSysfs(native: Native, place: Place): void {
  const fd = makeDirectory(native, place);
  makeFiles(
    native,
    fd,
    OF_SYSFS.filter((path) => path.endsWith("/") || existsSync(`/sys/${path}`)),
  );
  for (const name of networkInterfaces()) native.mkdirat(fd, `class/net/${name}`, 0o755);
  native.close(fd);
}

/** Makes empty files, and directories for names that end in `/`, with their parents. */
function makeFiles(native: Native, fd: number, paths: readonly string[]): void {
  const made = new Set<string>(["."]);
  const ensure = (directory: string): void => {
    if (made.has(directory)) return;
    ensure(posix.dirname(directory));
    native.mkdirat(fd, directory, 0o755);
    made.add(directory);
  };
  for (const path of paths) {
    ensure(path.endsWith("/") ? path.slice(0, -1) : posix.dirname(path));
    if (!path.endsWith("/")) native.mknodat(fd, path, S_IFREG | 0o444);
  }
}

function networkInterfaces(): readonly string[] {
  try {
    const lines = readFileSync("/proc/net/dev", "utf8").split("\n").slice(2);
    return lines.flatMap((line) => /^\s*([\w.-]+):/.exec(line)?.[1] ?? []);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}

function makeDirectory(native: Native, { parent, name }: Place): number {
  native.mkdirat(parent, name, 0o755);
  return native.openat2(parent, name, { flags: O_PATH | O_DIRECTORY });
}

/**
 * Makes a node. Where devices cannot be made, a file of the same name is better than none: it is visible, and opening
 * it is answered.
 */
function makeNode(
  native: Native,
  { parent, name }: Place,
  device: { readonly major: number; readonly minor: number },
): void {
  try {
    native.mknodat(parent, name, S_IFCHR | 0o666, device);
  } catch (error) {
    if (errnoOf(error) !== "EPERM") throw error;
    native.mknodat(parent, name, S_IFREG | 0o666);
  }
}
