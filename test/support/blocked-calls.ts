import { spawnSync } from "node:child_process";

/** Numbers of the calls that tests block, by Node's name of the machine. */
const NUMBERS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  x64: {
    sethostname: 170,
    pivot_root: 155,
    mount: 165,
    unshare: 272,
    clone3: 435,
    fsopen: 430,
    move_mount: 429,
    seccomp: 317,
    prctl: 157,
  },
  arm64: {
    sethostname: 161,
    pivot_root: 41,
    mount: 40,
    unshare: 97,
    clone3: 435,
    fsopen: 430,
    move_mount: 429,
    seccomp: 277,
    prctl: 167,
  },
};

/** Architectures as a filter is told them: AUDIT_ARCH_* of linux/audit.h. */
const ARCHITECTURES: Readonly<Record<string, number>> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };

export type BlockableCall = "sethostname" | "pivot_root" | "mount" | "unshare" | "clone3" | "fsopen" | "move_mount";

export const EPERM = 1;
export const EACCES = 13;
export const ENOSYS = 38;

/** Reason that no calls can be blocked here, or `undefined`. */
export function cannotBlock(): string | undefined {
  if (NUMBERS[process.arch] === undefined) return `the numbers of calls are not known for ${process.arch}`;
  return spawnSync("perl", ["-e", "1"]).status === 0 ? undefined : "needs perl, which installs a filter";
}

/**
 * The beginning of a command line whose program, and all that it starts, gets an error number from the calls: what the filter of
 * a container engine does. Needs root. The filter is one of the test's own, for nobody else.
 */
export function withBlocked(calls: Readonly<Partial<Record<BlockableCall, number>>>): string[] {
  const numbers = NUMBERS[process.arch] ?? {};
  const instruction = (code: number, yes: number, no: number, value: number): string => `${code},${yes},${no},${value}`;
  const LOAD = 0x20;
  const IS_EQUAL = 0x15;
  const RETURN = 0x06;
  const ALLOW = 0x7fff_0000;
  const ERRNO = 0x0005_0000;
  const blocked = Object.entries(calls).flatMap(([name, error]) => [
    instruction(IS_EQUAL, 0, 1, numbers[name] ?? -1),
    instruction(RETURN, 0, 0, ERRNO + error),
  ]);
  const program = [
    instruction(LOAD, 0, 0, 4),
    instruction(IS_EQUAL, 1, 0, ARCHITECTURES[process.arch] ?? 0),
    instruction(RETURN, 0, 0, ALLOW),
    instruction(LOAD, 0, 0, 0),
    ...blocked,
    instruction(RETURN, 0, 0, ALLOW),
  ];
  const script = [
    "my ($seccomp, $program, @command) = @ARGV;",
    'my $code = join "", map { pack "SCCL", split /,/ } split / /, $program;',
    'my $filter = pack "Sx6P", length($code) / 8, $code;',
    'syscall($seccomp, 1, 0, $filter) == 0 or die "seccomp: $!";',
    'exec @command or die "exec: $!";',
  ].join("\n");
  return ["perl", "-e", script, `${numbers["seccomp"] ?? -1}`, program.join(" ")];
}
