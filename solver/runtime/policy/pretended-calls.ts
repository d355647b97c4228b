import type { BpfBlock } from "./bpf.ts";
import { BPF, branch, load, ret, SECCOMP_DATA, SECCOMP_RETURN } from "./bpf.ts";

const ALLOW = ret(SECCOMP_RETURN.allow);
const NOTIFY = ret(SECCOMP_RETURN.notify);

/** `O_CREAT` and the bit that only `O_TMPFILE` has, on x86-64 and arm64 alike. */
const CREATES = 0x40 | 0x40_0000;

/** Opening is the commonest call there is: it is stopped only when it may make a file. */
function opens(flagsArgument: number): BpfBlock {
  return load(SECCOMP_DATA.argument(flagsArgument), [
    { code: BPF.and, jt: 0, jf: 0, k: CREATES },
    ...branch(BPF.jumpIfEqual, 0, ALLOW, NOTIFY),
  ]);
}

const WHOLE = [
  ...["chown", "lchown", "fchown", "fchownat"],
  ...["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups"],
  ...["getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups"],
  ...["mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat", "creat", "openat2"],
  ...["stat", "lstat", "fstat", "newfstatat", "statx", "chroot"],
  ...["rename", "renameat", "renameat2", "link", "linkat"],
];

/** The calls that kiln-runtime answers where there is a single id (solver/runtime/program/pretend/pretend.c). */
export const PRETENDED_CALLS: readonly { readonly name: string; readonly block: BpfBlock }[] = [
  ...WHOLE.map((name) => ({ name, block: NOTIFY })),
  { name: "open", block: opens(1) },
  { name: "openat", block: opens(2) },
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
