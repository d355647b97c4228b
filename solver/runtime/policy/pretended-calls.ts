import type { BpfBlock } from "./bpf.ts";
import { BPF, branch, load, ret, SECCOMP_DATA, SECCOMP_RETURN } from "./bpf.ts";

const ALLOW = ret(SECCOMP_RETURN.allow);
/** ENOSYS. */
const UNKNOWN = ret(SECCOMP_RETURN.errno(38));
const NOTIFY = ret(SECCOMP_RETURN.notify);

/** `O_WRONLY`, `O_RDWR`, `O_CREAT`, `O_TRUNC` and the bit that only `O_TMPFILE` has, on x86-64 and arm64 alike. */
const CHANGES = 0x1 | 0x2 | 0x40 | 0x200 | 0x40_0000;

/** `O_DIRECTORY` of both machines; on either, the other's is `O_DIRECT`, which is rare. */
const DIRECTORY = 0x1_0000 | 0x4000;

/** Opening is the commonest call there is: it is stopped only when it may make or change a file, or lists a directory. */
function opens(flagsArgument: number): BpfBlock {
  return load(SECCOMP_DATA.argument(flagsArgument), [
    { code: BPF.and, jt: 0, jf: 0, k: CHANGES | DIRECTORY },
    ...branch(BPF.jumpIfEqual, 0, ALLOW, NOTIFY),
  ]);
}

/** Compares a 32-bit argument: the call is stopped where it is one of `values`. */
function stopsAt(argument: number, values: readonly number[]): BpfBlock {
  const tests = values.reduceRight<BpfBlock>((rest, value) => branch(BPF.jumpIfEqual, value, NOTIFY, rest), ALLOW);
  return load(SECCOMP_DATA.argument(argument), tests);
}

/**
 * The limit that holds a process's identity (solver/runtime/program/pretend/holders.c): a process neither sees nor sets
 * it.
 */
const RLIMIT_LOCKS = 10;

/** `prctl` options about capabilities: keepcaps, the bounding set, securebits, ambient. */
const CAPABILITY_OPTIONS = [7, 8, 23, 24, 27, 28, 47];

const WHOLE = [
  ...["unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat", "fchmodat2", "truncate"],
  ...["utime", "utimes", "futimesat", "utimensat", "access", "faccessat", "faccessat2"],
  ...["getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr"],
  ...["listxattr", "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr"],
  ...["chown", "lchown", "fchown", "fchownat"],
  ...["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups"],
  ...["getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups"],
  ...["mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "creat", "openat2"],
  ...["stat", "lstat", "fstat", "newfstatat", "statx", "chroot"],
  ...["capget", "capset", "execve", "execveat"],
  ...["rename", "renameat", "renameat2", "link", "linkat"],
];

/** The younger forms of calls that are answered: programs take the older ones. */
const UNKNOWN_CALLS = ["getxattrat", "setxattrat", "listxattrat", "removexattrat"];

/** The calls that kiln-runtime answers where there is a single id (solver/runtime/program/pretend/pretend.c). */
export const PRETENDED_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  ...WHOLE.map((name) => ({ name, block: NOTIFY })),
  ...UNKNOWN_CALLS.map((name) => ({ name, block: UNKNOWN })),
  { name: "open", block: opens(1) },
  { name: "openat", block: opens(2) },
  { name: "prlimit64", block: stopsAt(1, [RLIMIT_LOCKS]) },
  { name: "setrlimit", block: stopsAt(0, [RLIMIT_LOCKS]) },
  { name: "getrlimit", block: stopsAt(0, [RLIMIT_LOCKS]) },
  { name: "prctl", block: stopsAt(0, CAPABILITY_OPTIONS) },
];

/** `O_EXCL` with `O_CREAT` means a new file, and `O_PATH` none that is read or written: neither is one of /proc. */
const NEVER_IN_PROC = 0x80 | 0x20_0000;

function opensOld(flagsArgument: number): BpfBlock {
  return load(SECCOMP_DATA.argument(flagsArgument), [
    { code: BPF.and, jt: 0, jf: 0, k: NEVER_IN_PROC },
    ...branch(BPF.jumpIfEqual, 0, NOTIFY, ALLOW),
  ]);
}

/** The calls that kiln-runtime answers where /proc cannot be mounted (solver/runtime/program/pretend/proc-files.c). */
export const CALLS_FOR_PROC: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  ...["readlink", "readlinkat", "chmod", "fchmodat"].map((name) => ({ name, block: NOTIFY })),
  { name: "open", block: opensOld(1) },
  { name: "openat", block: opensOld(2) },
];

const TYPE_OF_FILE = 0xf000;
const CHARACTER_DEVICE = 0x2000;
const BLOCK_DEVICE = 0x6000;

/** Devices, but for overlay's whiteout 0:0, which every user may make. */
function makesDevice(modeArgument: number): BpfBlock {
  const unlessWhiteout = load(SECCOMP_DATA.argument(modeArgument + 1), branch(BPF.jumpIfEqual, 0, ALLOW, NOTIFY));
  const isCharacter = branch(BPF.jumpIfEqual, CHARACTER_DEVICE, unlessWhiteout, ALLOW);
  return load(SECCOMP_DATA.argument(modeArgument), [
    { code: BPF.and, jt: 0, jf: 0, k: TYPE_OF_FILE },
    ...branch(BPF.jumpIfEqual, BLOCK_DEVICE, NOTIFY, isCharacter),
  ]);
}

/** "As before", to chown. */
const NO_ID = 0xffff_ffff;

function isBeyond(argument: number, last: number, other: BpfBlock): BpfBlock {
  if (last + 1 >= NO_ID) return other;
  const beyond = branch(BPF.jumpIfEqual, NO_ID, other, NOTIFY);
  return load(SECCOMP_DATA.argument(argument), branch(BPF.jumpIfAtLeast, last + 1, beyond, other));
}

const CHOWN_CALLS = [
  { name: "chown", owner: 1 },
  { name: "lchown", owner: 1 },
  { name: "fchown", owner: 1 },
  { name: "fchownat", owner: 2 },
];

const DEVICE_CALLS: typeof PRETENDED_CALLS = [
  { name: "mknod", block: makesDevice(1) },
  { name: "mknodat", block: makesDevice(2) },
];

/** The calls that need records where there are many ids: owners beyond them, and devices. No ordinary step makes any. */
export function callsForRecords(last: { readonly uid: number; readonly gid: number }): typeof PRETENDED_CALLS {
  return [
    ...DEVICE_CALLS,
    ...CHOWN_CALLS.map(({ name, owner }) => ({
      name,
      block: isBeyond(owner, last.uid, isBeyond(owner + 1, last.gid, ALLOW)),
    })),
  ];
}

const CALLS_ABOUT_FILES = [
  ...["chown", "lchown", "fchown", "fchownat", "stat", "lstat", "fstat", "newfstatat", "statx", "truncate"],
  ...["getxattr", "lgetxattr", "fgetxattr", "setxattr", "lsetxattr", "fsetxattr", "creat", "openat2"],
  ...["listxattr", "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr"],
  ...["rename", "renameat", "renameat2", "link", "linkat"],
];

/** `O_WRONLY`, `O_RDWR` and `O_TRUNC`. */
const WRITES = 0x1 | 0x2 | 0x200;

function opensToWrite(flagsArgument: number): BpfBlock {
  return load(SECCOMP_DATA.argument(flagsArgument), [
    { code: BPF.and, jt: 0, jf: 0, k: WRITES },
    ...branch(BPF.jumpIfEqual, 0, ALLOW, NOTIFY),
  ]);
}

/** The calls that kiln-runtime answers where there are many ids and files with records. */
export const RECORDED_CALLS: typeof PRETENDED_CALLS = [
  ...DEVICE_CALLS,
  ...CALLS_ABOUT_FILES.map((name) => ({ name, block: NOTIFY })),
  ...UNKNOWN_CALLS.map((name) => ({ name, block: UNKNOWN })),
  { name: "open", block: opensToWrite(1) },
  { name: "openat", block: opensToWrite(2) },
];

const INTERNET = [2, 10];
const AF_PACKET = 17;
/** `SOCK_RAW`, and what else is in a socket's type beside its flags. */
const SOCK_RAW = 3;
const SOCKET_TYPE = 0xf;
const REFUSE = ret(SECCOMP_RETURN.errno(1));

/** Socket families that reach past every namespace: the crypto API of the kernel, and the hypervisor. */
export const FOREIGN_FAMILIES = [38, 40];

const RAW_ONLY: BpfBlock = load(SECCOMP_DATA.argument(1), [
  { code: BPF.and, jt: 0, jf: 0, k: SOCKET_TYPE },
  ...branch(BPF.jumpIfEqual, SOCK_RAW, NOTIFY, ALLOW),
]);

function eachFamily(families: readonly number[], found: BpfBlock, other: BpfBlock): BpfBlock {
  return families.reduceRight<BpfBlock>((rest, value) => branch(BPF.jumpIfEqual, value, found, rest), other);
}

/**
 * The calls that kiln-runtime notes where the step has a foreign network
 * (solver/runtime/program/pretend/network-calls.c).
 */
export const NETWORK_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  { name: "bind", block: NOTIFY },
  {
    name: "socket",
    block: load(
      SECCOMP_DATA.argument(0),
      eachFamily(FOREIGN_FAMILIES, REFUSE, eachFamily([AF_PACKET], NOTIFY, eachFamily(INTERNET, RAW_ONLY, ALLOW))),
    ),
  },
];

const ICMP = 1;
const ICMP6 = 58;
/** `SOCK_PACKET`: the oldest name of a packet socket, given to any family. */
const SOCK_PACKET = 10;

/**
 * Families that see or send a machine's traffic below any address of its own: packets, CAN, Bluetooth, 802.15.4, XDP.
 */
const WIRE_FAMILIES = [AF_PACKET, 29, 31, 36, 44];

/** Raw sockets of one protocol: `ping` has its own. */
function onlyProtocol(protocol: number): BpfBlock {
  const rawOnly = load(SECCOMP_DATA.argument(2), branch(BPF.jumpIfEqual, protocol, ALLOW, REFUSE));
  return load(SECCOMP_DATA.argument(1), [
    { code: BPF.and, jt: 0, jf: 0, k: SOCKET_TYPE },
    ...branch(BPF.jumpIfEqual, SOCK_RAW, rawOnly, branch(BPF.jumpIfEqual, SOCK_PACKET, REFUSE, ALLOW)),
  ]);
}

/** Refuses an option of a socket. */
function withoutOption(level: number, option: number, other: BpfBlock): BpfBlock {
  const ofLevel = load(SECCOMP_DATA.argument(2), branch(BPF.jumpIfEqual, option, REFUSE, ALLOW));
  return load(SECCOMP_DATA.argument(1), branch(BPF.jumpIfEqual, level, ofLevel, other));
}

/**
 * The calls of a step in the machine's own network: it may ping, and neither read the machine's traffic nor send under
 * foreign addresses (`IP_HDRINCL`, `IPV6_HDRINCL`).
 */
export const SHARED_NETWORK_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  {
    name: "socket",
    block: load(
      SECCOMP_DATA.argument(0),
      eachFamily(
        [...FOREIGN_FAMILIES, ...WIRE_FAMILIES],
        REFUSE,
        eachFamily([2], onlyProtocol(ICMP), eachFamily([10], onlyProtocol(ICMP6), ALLOW)),
      ),
    ),
  },
  { name: "setsockopt", block: withoutOption(0, 3, withoutOption(41, 36, ALLOW)) },
];

/** The calls of a step that shares its processes with others: limits are its own business only. */
export const SHARED_PROCESSES_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  { name: "prlimit64", block: load(SECCOMP_DATA.argument(0), branch(BPF.jumpIfEqual, 0, ALLOW, REFUSE)) },
];

/** The treatment of unanswered calls of 32-bit programs: they may not set the limit that holds an identity. */
export const KEPT_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  { name: "prlimit64", argument: 1 },
  { name: "setrlimit", argument: 0 },
].map(({ name, argument }) => ({
  name,
  block: load(
    SECCOMP_DATA.argument(argument),
    branch(BPF.jumpIfEqual, RLIMIT_LOCKS, ret(SECCOMP_RETURN.errno(1)), ALLOW),
  ),
}));
