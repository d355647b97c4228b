import { expect, test } from "vitest";
import type { BpfBlock } from "./bpf.ts";
import { assemble, BPF } from "./bpf.ts";
import { defaultSeccompFilter, defaultSeccompProgram } from "./seccomp.ts";
import { PRETENDED_CALLS } from "./pretended-calls.ts";
import { SYSCALL_NUMBERS } from "./syscall-numbers.ts";

const ARCH = { x64: 0xc000003e, i386: 0x40000003, arm64: 0xc00000b7, arm: 0x40000028 } as const;

interface Call {
  readonly arch: number;
  readonly number: number;
  readonly args?: readonly bigint[];
}

/** Runs a filter the way the kernel does (net/core/filter.c), over a struct seccomp_data. */
function interpret(filter: BpfBlock, call: Call): string {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.number, true);
  data.setUint32(4, call.arch, true);
  (call.args ?? []).forEach((value, index) => data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true));
  let accumulator = 0;
  for (let pc = 0; ;) {
    const instruction = filter[pc++];
    if (instruction === undefined) throw new Error("The program ran off its end");
    const { code, jt, jf, k } = instruction;
    if (code === BPF.load) accumulator = data.getUint32(k, true);
    else if (code === BPF.and) accumulator = (accumulator & k) >>> 0;
    else if (code === BPF.jump) pc += k;
    else if (code === BPF.jumpIfEqual) pc += accumulator === k ? jt : jf;
    else if (code === BPF.jumpIfAtLeast) pc += accumulator >= k ? jt : jf;
    else if (code === BPF.return) {
      const action = (k & 0xffff0000) >>> 0;
      if (action === 0x7fff0000) return "allow";
      if (action === 0x7fc00000) return "stop";
      if (action === 0x80000000) return "kill";
      if (action === 0x00050000) return { 1: "EPERM", 38: "ENOSYS" }[k & 0xffff] ?? `errno ${k & 0xffff}`;
      throw new Error(`The program returned ${k}`);
    } else throw new Error(`The program has an unknown instruction ${code}`);
  }
}

function program(arch: string): BpfBlock {
  const found = defaultSeccompProgram(arch);
  if (found === undefined) throw new Error(`No filter for ${arch}`);
  return found;
}

const X64 = program("x64");
const ARM64 = program("arm64");

test.each([
  { name: "read", number: 0, verdict: "allow" },
  { name: "execve", number: 59, verdict: "allow" },
  { name: "mount", number: 165, verdict: "EPERM" },
  { name: "umount2", number: 166, verdict: "EPERM" },
  { name: "unshare", number: 272, verdict: "EPERM" },
  { name: "setns", number: 308, verdict: "EPERM" },
  { name: "bpf", number: 321, verdict: "EPERM" },
  { name: "keyctl", number: 250, verdict: "EPERM" },
  { name: "kexec_load", number: 246, verdict: "EPERM" },
  { name: "init_module", number: 175, verdict: "EPERM" },
  { name: "open_by_handle_at", number: 304, verdict: "EPERM" },
  { name: "io_uring_setup", number: 425, verdict: "EPERM" },
  { name: "userfaultfd", number: 323, verdict: "EPERM" },
  { name: "perf_event_open", number: 298, verdict: "EPERM" },
  { name: "pidfd_getfd", number: 438, verdict: "EPERM" },
  { name: "reboot", number: 169, verdict: "EPERM" },
  { name: "open_tree", number: 428, verdict: "EPERM" },
  { name: "chroot", number: 161, verdict: "allow" },
  { name: "ptrace", number: 101, verdict: "allow" },
  { name: "clone3", number: 435, verdict: "ENOSYS" },
  { name: "a call from the future", number: 500, verdict: "ENOSYS" },
  { name: "read of the x32 ABI", number: 0x40000000, verdict: "ENOSYS" },
  { name: "mount of the x32 ABI", number: 0x40000000 + 165, verdict: "ENOSYS" },
  { name: "an impossible number", number: 0xffffffff, verdict: "ENOSYS" },
  { name: "socket(AF_INET)", number: 41, args: [2n], verdict: "allow" },
  { name: "socket(AF_ALG)", number: 41, args: [38n], verdict: "EPERM" },
  { name: "socket(AF_VSOCK)", number: 41, args: [40n], verdict: "EPERM" },
  { name: "socket(AF_VSOCK) with rubbish in the upper half", number: 41, args: [(1n << 32n) | 40n], verdict: "EPERM" },
  { name: "personality(PER_LINUX)", number: 135, args: [0n], verdict: "allow" },
  { name: "personality(PER_LINUX32)", number: 135, args: [8n], verdict: "allow" },
  { name: "personality(query)", number: 135, args: [0xffffffffn], verdict: "allow" },
  { name: "personality(ADDR_NO_RANDOMIZE)", number: 135, args: [0x40000n], verdict: "EPERM" },
  { name: "clone of a process", number: 56, args: [17n], verdict: "allow" },
  { name: "clone of a thread", number: 56, args: [0x3d0f00n], verdict: "allow" },
  { name: "clone with a user namespace", number: 56, args: [0x10000000n], verdict: "EPERM" },
  { name: "clone with a mount namespace", number: 56, args: [0x20000n | 17n], verdict: "EPERM" },
  { name: "clone with a network namespace", number: 56, args: [0x40000000n], verdict: "EPERM" },
])("on x86-64, $name is $verdict", ({ number, args, verdict }) => {
  expect(interpret(X64, { arch: ARCH.x64, number, ...(args === undefined ? {} : { args }) })).toBe(verdict);
});

test.each([
  { name: "read", number: 3, verdict: "allow" },
  { name: "mount", number: 21, verdict: "EPERM" },
  { name: "socketcall", number: 102, verdict: "ENOSYS" },
  { name: "socket(AF_VSOCK)", number: 359, args: [40n], verdict: "EPERM" },
  { name: "socket(AF_UNIX)", number: 359, args: [1n], verdict: "allow" },
  { name: "clock_gettime64", number: 403, verdict: "allow" },
  { name: "unshare", number: 310, verdict: "EPERM" },
])("a 32-bit program on x86-64: $name is $verdict", ({ number, args, verdict }) => {
  expect(interpret(X64, { arch: ARCH.i386, number, ...(args === undefined ? {} : { args }) })).toBe(verdict);
});

test.each([
  { name: "read", number: 63, verdict: "allow" },
  { name: "mount", number: 40, verdict: "EPERM" },
  { name: "unshare", number: 97, verdict: "EPERM" },
  { name: "clone3", number: 435, verdict: "ENOSYS" },
  { name: "clone with a user namespace", number: 220, args: [0x10000000n], verdict: "EPERM" },
  { name: "clone of a process", number: 220, args: [17n], verdict: "allow" },
  { name: "newfstatat", number: 79, verdict: "allow" },
])("on arm64, $name is $verdict", ({ number, args, verdict }) => {
  expect(interpret(ARM64, { arch: ARCH.arm64, number, ...(args === undefined ? {} : { args }) })).toBe(verdict);
});

test.each([
  { name: "chown", number: 92, verdict: "stop" },
  { name: "getuid", number: 102, verdict: "stop" },
  { name: "setgroups", number: 116, verdict: "stop" },
  { name: "open to read", number: 2, args: [0n, 0n], verdict: "allow" },
  { name: "open with O_CREAT", number: 2, args: [0n, 0x41n], verdict: "stop" },
  { name: "openat with O_TMPFILE", number: 257, args: [0n, 0n, 0x41_0001n], verdict: "stop" },
  { name: "openat of a directory", number: 257, args: [0n, 0n, 0x1_0000n], verdict: "stop" },
  { name: "openat to write", number: 257, args: [0n, 0n, 0x8_0001n], verdict: "stop" },
  { name: "prlimit of the limit that holds an identity", number: 302, args: [0n, 10n], verdict: "stop" },
  { name: "prlimit of another", number: 302, args: [0n, 7n], verdict: "allow" },
  { name: "setrlimit of it", number: 160, args: [10n], verdict: "stop" },
  { name: "setrlimit of a 32-bit program", arch: ARCH.i386, number: 75, args: [10n], verdict: "EPERM" },
  { name: "setrlimit of another one of a 32-bit program", arch: ARCH.i386, number: 75, args: [7n], verdict: "allow" },
  { name: "prctl of keepcaps", number: 157, args: [8n], verdict: "stop" },
  { name: "prctl of a name", number: 157, args: [15n], verdict: "allow" },
  { name: "setxattrat", number: 463, verdict: "ENOSYS" },
  { name: "mount", number: 165, verdict: "EPERM" },
])("where ids are pretended, $name is $verdict", ({ arch = ARCH.x64, number, args, verdict }) => {
  const filter = defaultSeccompProgram("x64", { calls: "default", ids: "pretended" }) ?? [];
  expect(interpret(filter, { arch, number, ...(args === undefined ? {} : { args }) })).toBe(verdict);
});

test.each([
  { name: "socket(AF_PACKET, SOCK_RAW)", args: [17n, 3n, 0n], verdict: "EPERM" },
  { name: "socket(AF_PACKET, SOCK_DGRAM)", args: [17n, 2n, 0n], verdict: "EPERM" },
  { name: "socket(AF_INET, SOCK_PACKET)", args: [2n, 10n, 0x300n], verdict: "EPERM" },
  { name: "socket(AF_XDP)", args: [44n, 3n, 0n], verdict: "EPERM" },
  { name: "socket(AF_VSOCK)", args: [40n, 1n, 0n], verdict: "EPERM" },
  { name: "a raw socket of TCP", args: [2n, 3n, 6n], verdict: "EPERM" },
  { name: "a raw socket of all protocols, closed on exec", args: [2n, 0x80003n, 255n], verdict: "EPERM" },
  { name: "a raw socket of ICMP for IPv6 on IPv4", args: [2n, 3n, 58n], verdict: "EPERM" },
  { name: "a raw socket of ICMP", args: [2n, 0x80003n, 1n], verdict: "allow" },
  { name: "a raw socket of ICMPv6", args: [10n, 3n, 58n], verdict: "allow" },
  { name: "a stream", args: [2n, 0x80801n, 6n], verdict: "allow" },
  { name: "a Unix socket", args: [1n, 1n, 0n], verdict: "allow" },
  { name: "a routing socket", args: [16n, 3n, 0n], verdict: "allow" },
])("in the machine's network, $name is $verdict, on both word sizes", ({ args, verdict }) => {
  const filter = defaultSeccompProgram("x64", { calls: "default", ids: "real", network: "shared" }) ?? [];
  expect(interpret(filter, { arch: ARCH.x64, number: 41, args })).toBe(verdict);
  expect(interpret(filter, { arch: ARCH.i386, number: 359, args })).toBe(verdict);
});

test("in the machine's network a step does not write its packets' headers", () => {
  const filter = defaultSeccompProgram("x64", { calls: "default", ids: "real", network: "shared" }) ?? [];
  const set = (level: bigint, option: bigint): string =>
    interpret(filter, { arch: ARCH.x64, number: 54, args: [3n, level, option] });
  expect([set(0n, 3n), set(41n, 36n)]).toEqual(["EPERM", "EPERM"]);
  expect([set(0n, 2n), set(41n, 3n), set(1n, 36n), set(6n, 3n)]).toEqual(["allow", "allow", "allow", "allow"]);
});

test("among foreign processes a step sets its own limits only", () => {
  const filter = defaultSeccompProgram("x64", { calls: "default", ids: "no proc", processes: "shared" }) ?? [];
  const limit = (pid: bigint): string => interpret(filter, { arch: ARCH.x64, number: 302, args: [pid, 7n] });
  expect([limit(0n), limit(1n)]).toEqual(["allow", "EPERM"]);
  expect(interpret(X64, { arch: ARCH.x64, number: 302, args: [1n, 7n] })).toBe("allow");
});

const NO_ID = 0xffff_ffffn;
const OWNERS = { uid: 65_536, gid: 65_535 };

test.each([
  { name: "chown", args: [0n, 65_536n, 65_535n], noted: "allow" },
  { name: "chown", args: [0n, NO_ID, NO_ID], noted: "allow" },
  { name: "lchown", args: [0n, 65_537n, NO_ID], noted: "stop" },
  { name: "fchown", args: [0n, 5n, 65_536n], noted: "stop" },
  { name: "fchownat", args: [0n, 0n, NO_ID, 65_536n], noted: "stop" },
  { name: "fchownat", args: [65_537n, 65_537n, 1n, 1n, 65_537n], noted: "allow" },
  { name: "mknod", args: [0n, 0o10644n, 0x103n], noted: "allow", kept: "allow" },
  { name: "mknod", args: [0n, 0o20644n, 0x103n], noted: "stop" },
  { name: "mknod", args: [0n, 0o20644n, 0n], noted: "allow", kept: "allow" },
  { name: "mknodat", args: [0n, 0n, 0o60644n, 0x700n], noted: "stop" },
  { name: "statx", args: [], noted: "allow" },
  { name: "fgetxattr", args: [], noted: "allow" },
  { name: "getxattrat", args: [], noted: "allow", kept: "ENOSYS" },
  { name: "openat", args: [0n, 0n, 0x1n], noted: "allow" },
  { name: "openat", args: [0n, 0n, 0x10000n], noted: "allow", kept: "allow" },
  { name: "unlink", args: [], noted: "allow", kept: "allow" },
])("with many ids, $name of $args is $noted before the first record", ({ name, args, noted, kept = "stop" }) => {
  for (const [state, verdict] of [
    ["noted", noted],
    ["kept", kept],
  ] as const) {
    const owners = { ...OWNERS, state };
    const filter = defaultSeccompProgram("x64", { calls: "default", ids: "real", owners }) ?? [];
    expect(interpret(filter, { arch: ARCH.x64, number: SYSCALL_NUMBERS[name]?.x64 ?? -1, args })).toBe(verdict);
  }
});

test("an open filter refuses nothing, and may still stop calls", () => {
  const filter = defaultSeccompProgram("x64", { calls: "open", ids: "pretended" }) ?? [];
  for (const number of [165, 250, 435, 500]) expect(interpret(filter, { arch: ARCH.x64, number })).toBe("allow");
  expect(interpret(filter, { arch: ARCH.x64, number: 92 })).toBe("stop");
});

test("every call that is stopped has a number on both machines, or is one of the old ones", () => {
  const absent = PRETENDED_CALLS.filter(({ name }) => SYSCALL_NUMBERS[name]?.arm64 === undefined).map(
    ({ name }) => name,
  );
  expect(absent.toSorted()).toEqual([
    "access",
    "chmod",
    "chown",
    "creat",
    "futimesat",
    "lchown",
    "link",
    "lstat",
    "mkdir",
    "mknod",
    "open",
    "rename",
    "rmdir",
    "stat",
    "symlink",
    "unlink",
    "utime",
    "utimes",
  ]);
  expect(PRETENDED_CALLS.every(({ name }) => SYSCALL_NUMBERS[name]?.x64 !== undefined)).toBe(true);
});

test("a program of a foreign machine is killed", () => {
  expect(interpret(ARM64, { arch: ARCH.arm, number: 3 })).toBe("kill");
  expect(interpret(X64, { arch: ARCH.arm64, number: 63 })).toBe("kill");
});

test("the program is small, valid and the same every time", () => {
  for (const arch of ["x64", "arm64"]) {
    const one = program(arch);
    expect(one.length).toBeLessThan(4096);
    expect(one.every(({ jt, jf }) => jt <= 255 && jf <= 255)).toBe(true);
    expect(assemble(one)).toEqual(assemble(program(arch)));
  }
});

test("the runtime's probe is refused by the filter it comes with", () => {
  const filter = defaultSeccompFilter("x64");
  expect(filter?.probe).toBe(SYSCALL_NUMBERS["keyctl"]?.x64);
  expect(interpret(X64, { arch: ARCH.x64, number: filter?.probe ?? 0 })).toBe("EPERM");
});

test("there is no filter for machines without a table", () => {
  expect(defaultSeccompFilter("riscv64")).toBeUndefined();
});
