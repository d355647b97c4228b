import { ALLOWED_SYSCALLS, NEWEST_SYSCALL } from "./allowed-syscalls.ts";
import type { BpfBlock, BpfRange } from "./bpf.ts";
import { assemble, BPF, branch, load, ret, searchTree, SECCOMP_DATA, SECCOMP_RETURN } from "./bpf.ts";
import {
  CALLS_FOR_PROC,
  callsForRecords,
  FOREIGN_FAMILIES,
  KEPT_CALLS,
  NETWORK_CALLS,
  PRETENDED_CALLS,
  RECORDED_CALLS,
  SHARED_NETWORK_CALLS,
  SHARED_PROCESSES_CALLS,
} from "./pretended-calls.ts";
import type { FilterMachine } from "./syscall-numbers.ts";
import { SYSCALL_NUMBERS } from "./syscall-numbers.ts";

/** A system call filter, compiled; `probe` is the number of a call it must refuse. */
export interface SeccompFilter {
  readonly program: Uint8Array;
  readonly probe: number;
}

const EPERM = 1;
const ENOSYS = 38;

/** A call that every sandbox refuses and that does no harm where it is not refused. */
const PROBE = "keyctl";

/** A value for the runtime: there is no call to try. */
const NO_PROBE = 0xffff_ffff;

const ALLOW = ret(SECCOMP_RETURN.allow);
const REFUSE = ret(SECCOMP_RETURN.errno(EPERM));
/** "This kernel has no such call": programs then take the older way, which the filter can look into. */
const UNKNOWN = ret(SECCOMP_RETURN.errno(ENOSYS));

/** AUDIT_ARCH_* of linux/audit.h, as the kernel shows them to a filter. */
const AUDIT_ARCH: Readonly<Record<FilterMachine, number>> = {
  x64: 0xc000_003e,
  i386: 0x4000_0003,
  arm64: 0xc000_00b7,
};

/** Call numbers of the x32 ABI have this bit; Debian and others build kernels without it or switch it off. */
const X32_BIT = 0x4000_0000;

/** Every CLONE_NEW* but the time namespace, which clone(2) cannot make. */
const NEW_NAMESPACES = 0x7e02_0000;

/** Execution domains that only change what uname says or how addresses are laid out; all ones asks for the current one. */
const PERSONALITIES = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/**
 * The calls that are allowed in part, or by the capabilities of the default set. What they compare are 32-bit values
 * in the kernel, so the upper half of a register, which the kernel ignores, is ignored here too.
 */
const RULES: readonly {
  readonly name: string;
  readonly machines: readonly FilterMachine[];
  readonly why: string;
  readonly block: BpfBlock;
}[] = [
  {
    name: "socket",
    machines: ["x64", "i386", "arm64"],
    why: "not for families outside of any namespace",
    block: argument(0, FOREIGN_FAMILIES, { equal: REFUSE, other: ALLOW }),
  },
  {
    name: "personality",
    machines: ["x64", "i386", "arm64"],
    why: "not to switch off protections such as address randomisation",
    block: argument(0, PERSONALITIES, { equal: ALLOW, other: REFUSE }),
  },
  {
    name: "clone",
    machines: ["x64", "i386", "arm64"],
    why: "processes and threads, but no namespaces",
    block: load(SECCOMP_DATA.argument(0), [
      { code: BPF.and, jt: 0, jf: 0, k: NEW_NAMESPACES },
      ...branch(BPF.jumpIfEqual, 0, ALLOW, REFUSE),
    ]),
  },
  {
    name: "clone3",
    machines: ["x64", "i386", "arm64"],
    why: "its flags are behind a pointer, where a filter cannot look; clone does the same",
    block: UNKNOWN,
  },
  {
    name: "socketcall",
    machines: ["i386"],
    why: "its arguments are behind a pointer; the separate calls do the same",
    block: UNKNOWN,
  },
  { name: "chroot", machines: ["x64", "i386", "arm64"], why: "CAP_SYS_CHROOT is given", block: ALLOW },
  { name: "arch_prctl", machines: ["x64", "i386"], why: "thread-local storage", block: ALLOW },
  { name: "modify_ldt", machines: ["x64", "i386"], why: "16-bit and old 32-bit programs", block: ALLOW },
];

/** Names of all calls that the policy speaks of, in order; what their numbers are, `syscall-numbers.ts` says. */
export function policyCalls(): string[] {
  const allowed = ALLOWED_SYSCALLS.flatMap(({ names }) => names);
  const special = [...RULES, ...PRETENDED_CALLS, ...CALLS_FOR_PROC].map(({ name }) => name);
  return [...new Set([...allowed, ...special, PROBE])].toSorted();
}

function argument(
  index: number,
  values: readonly number[],
  at: { readonly equal: BpfBlock; readonly other: BpfBlock },
): BpfBlock {
  const tests = values.reduceRight<BpfBlock>((rest, value) => branch(BPF.jumpIfEqual, value, at.equal, rest), at.other);
  return load(SECCOMP_DATA.argument(index), tests);
}

/**
 * The purpose of a filter: `open` refuses nothing, `pretended` stops the calls that need more ids than there are, `no
 * proc` those that use files of /proc where it cannot be mounted.
 */
export interface FilterPolicy {
  readonly calls: "default" | "open";
  readonly ids: "real" | "pretended" | "no proc";
  /** `watched`: calls that need a network of the step's own are noted; `shared`: they are refused. */
  readonly network?: "watched" | "shared";
  /** `shared`: the step sees processes that are not its own. */
  readonly processes?: "shared";
  /** The way that owners beyond the ids, and devices, are noted or kept, where there are many ids. */
  readonly owners?: { readonly state: "noted" | "kept"; readonly uid: number; readonly gid: number };
}

const STOPPED_CALLS: Readonly<Record<FilterPolicy["ids"], typeof PRETENDED_CALLS>> = {
  real: [],
  pretended: PRETENDED_CALLS,
  "no proc": CALLS_FOR_PROC,
};

const DEFAULT_POLICY: FilterPolicy = { calls: "default", ids: "real" };

/** Lists the treatment of every call of a machine, as ranges. */
function ranges(machine: FilterMachine, policy: FilterPolicy): BpfRange[] {
  const blocks = policy.calls === "open" ? new Map<number, BpfBlock>() : defaultBlocks(machine);
  const other = policy.calls === "open" ? ALLOW : REFUSE;
  // 32-bit programs are few, and do without.
  const stopped = machine === "i386" ? (policy.ids === "pretended" ? KEPT_CALLS : []) : STOPPED_CALLS[policy.ids];
  const watched = policy.network === "watched" && machine !== "i386" ? NETWORK_CALLS : [];
  const shared = [
    ...(policy.network === "shared" ? SHARED_NETWORK_CALLS : []),
    ...(policy.processes === "shared" ? SHARED_PROCESSES_CALLS : []),
  ];
  const { owners } = policy;
  const beyond = owners === undefined || machine === "i386" ? [] : callsForOwners(owners);
  for (const { name, block } of [...stopped, ...watched, ...shared, ...beyond]) {
    const number = SYSCALL_NUMBERS[name]?.[machine];
    if (number !== undefined) blocks.set(number, block);
  }
  const result: BpfRange[] = [];
  for (let number = 0; number <= NEWEST_SYSCALL; number++) {
    const block = blocks.get(number) ?? other;
    if (result.at(-1)?.block !== block) result.push({ first: number, block });
  }
  result.push({ first: NEWEST_SYSCALL + 1, block: policy.calls === "open" ? ALLOW : UNKNOWN });
  return result;
}

function callsForOwners(owners: NonNullable<FilterPolicy["owners"]>): typeof PRETENDED_CALLS {
  return owners.state === "kept" ? RECORDED_CALLS : callsForRecords(owners);
}

function defaultBlocks(machine: FilterMachine): Map<number, BpfBlock> {
  const blocks = new Map<number, BpfBlock>();
  for (const { names } of ALLOWED_SYSCALLS) {
    for (const name of names) {
      const number = SYSCALL_NUMBERS[name]?.[machine];
      if (number !== undefined) blocks.set(number, ALLOW);
    }
  }
  for (const rule of RULES) {
    const number = SYSCALL_NUMBERS[rule.name]?.[machine];
    if (number !== undefined && rule.machines.includes(machine)) blocks.set(number, rule.block);
  }
  return blocks;
}

function machineBlock(machine: FilterMachine, policy: FilterPolicy): BpfBlock {
  const tree = searchTree(ranges(machine, policy));
  const guarded = machine === "x64" ? branch(BPF.jumpIfAtLeast, X32_BIT, UNKNOWN, tree) : tree;
  return load(SECCOMP_DATA.number, guarded);
}

/** Machine types a kernel of `arch` runs programs of. A 32-bit ARM program on arm64 is killed: no table for it here. */
const MACHINES: Readonly<Record<string, readonly FilterMachine[]>> = { x64: ["x64", "i386"], arm64: ["arm64"] };

/**
 * The filter as instructions, for a machine by Node's name of it; `undefined` for machines without a table.
 * The same for everyone: it depends on nothing but the tables.
 */
export function defaultSeccompProgram(arch: string, policy = DEFAULT_POLICY): BpfBlock | undefined {
  const machines = MACHINES[arch];
  if (machines === undefined) return undefined;
  const foreign = ret(SECCOMP_RETURN.killProcess);
  const byArch = machines.reduceRight<BpfBlock>(
    (rest, machine) => branch(BPF.jumpIfEqual, AUDIT_ARCH[machine], machineBlock(machine, policy), rest),
    foreign,
  );
  return load(SECCOMP_DATA.arch, byArch);
}

/** The filter as the runtime takes it, with a call that it must refuse and that does no harm if it does not. */
export function defaultSeccompFilter(arch: string, policy = DEFAULT_POLICY): SeccompFilter | undefined {
  const program = defaultSeccompProgram(arch, policy);
  const machine = MACHINES[arch]?.[0];
  if (program !== undefined && policy.calls === "open") return { program: assemble(program), probe: NO_PROBE };
  const probe = machine === undefined ? undefined : SYSCALL_NUMBERS[PROBE]?.[machine];
  return program === undefined || probe === undefined ? undefined : { program: assemble(program), probe };
}
