/** Kinds of use that a rule allows: reading and writing an open node, and making one with mknod. */
type Access = "read" | "write" | "mknod";

interface DeviceRule {
  readonly type: "character" | "block";
  /** `undefined` is any. */
  readonly major: number | undefined;
  readonly minor: number | undefined;
  readonly access: readonly Access[];
  readonly name: string;
}

const USE: readonly Access[] = ["read", "write", "mknod"];

/**
 * Rules for device nodes of any origin; all other accesses are refused. Any node may be *made*, as layers carry them;
 * few can be *opened*. The same list as in the container engines.
 */
export const DEVICE_RULES: readonly DeviceRule[] = [
  { type: "character", major: undefined, minor: undefined, access: ["mknod"], name: "any node, to be made" },
  { type: "block", major: undefined, minor: undefined, access: ["mknod"], name: "any node, to be made" },
  { type: "character", major: 1, minor: 3, access: USE, name: "null" },
  { type: "character", major: 1, minor: 5, access: USE, name: "zero" },
  { type: "character", major: 1, minor: 7, access: USE, name: "full" },
  { type: "character", major: 1, minor: 8, access: USE, name: "random" },
  { type: "character", major: 1, minor: 9, access: USE, name: "urandom" },
  { type: "character", major: 5, minor: 0, access: USE, name: "tty: the terminal that a process has anyway" },
  { type: "character", major: 5, minor: 2, access: USE, name: "ptmx" },
  { type: "character", major: 136, minor: undefined, access: USE, name: "terminals of the step's own devpts" },
  { type: "character", major: 10, minor: 200, access: USE, name: "net/tun: of use only with network administration" },
];

/** The rules as `devices.allow` of cgroup v1 takes them, one write each, after `a` was written to `devices.deny`. */
export function deviceAllowLines(): readonly string[] {
  const number = (value: number | undefined): string => (value === undefined ? "*" : String(value));
  return DEVICE_RULES.map(
    ({ type, major, minor, access }) =>
      `${type === "character" ? "c" : "b"} ${number(major)}:${number(minor)} ${access.map((one) => V1_LETTER[one]).join("")}`,
  );
}

const V1_LETTER: Readonly<Record<Access, string>> = { read: "r", write: "w", mknod: "m" };

/** BPF_DEVCG_ACC_* and BPF_DEVCG_DEV_* of linux/bpf.h. */
const ACCESS_BIT: Readonly<Record<Access, number>> = { mknod: 1, read: 2, write: 4 };
const TYPE_NUMBER = { block: 1, character: 2 } as const;

/** One eBPF instruction (linux/bpf.h, struct bpf_insn), without its 16 unused bits of source registers above 15. */
interface Instruction {
  readonly code: number;
  readonly to: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
}

const CODE = {
  loadWord: 0x61,
  copy: 0xbc,
  set: 0xb7,
  and: 0x54,
  shiftRight: 0x74,
  jumpIfNot: 0x55,
  exit: 0x95,
} as const;

/** Offsets in struct bpf_cgroup_dev_ctx. The first word is the access in its upper half and the type in its lower one. */
const CONTEXT = { accessType: 0, major: 4, minor: 8 } as const;

/** Makes the program that the kernel calls with r1 at the context for every open and mknod; r0 = 1 allows it. */
function instructions(): Instruction[] {
  const program: Instruction[] = [
    { code: CODE.loadWord, to: 2, from: 1, offset: CONTEXT.accessType },
    { code: CODE.copy, to: 3, from: 2 },
    { code: CODE.and, to: 2, value: 0xffff },
    { code: CODE.shiftRight, to: 3, value: 16 },
    { code: CODE.loadWord, to: 4, from: 1, offset: CONTEXT.major },
    { code: CODE.loadWord, to: 5, from: 1, offset: CONTEXT.minor },
  ];
  for (const rule of DEVICE_RULES) {
    const refused = 7 & ~rule.access.reduce((bits, one) => bits | ACCESS_BIT[one], 0);
    const tests: Instruction[][] = [[{ code: CODE.jumpIfNot, to: 2, value: TYPE_NUMBER[rule.type] }]];
    if (refused !== 0) {
      tests.push([
        { code: CODE.copy, to: 0, from: 3 },
        { code: CODE.and, to: 0, value: refused },
        { code: CODE.jumpIfNot, to: 0, value: 0 },
      ]);
    }
    if (rule.major !== undefined) tests.push([{ code: CODE.jumpIfNot, to: 4, value: rule.major }]);
    if (rule.minor !== undefined) tests.push([{ code: CODE.jumpIfNot, to: 5, value: rule.minor }]);
    const block = [...tests.flat(), ...verdict(1)];
    // Each jump leads past the end of this rule, to the next one.
    program.push(
      ...block.map((one, index) => (one.code === CODE.jumpIfNot ? { ...one, offset: block.length - index - 1 } : one)),
    );
  }
  program.push(...verdict(0));
  return program;
}

function verdict(value: 0 | 1): Instruction[] {
  return [
    { code: CODE.set, to: 0, value },
    { code: CODE.exit, to: 0 },
  ];
}

/** The rules as a program of type BPF_PROG_TYPE_CGROUP_DEVICE: eight bytes per instruction, little-endian. */
export function deviceFilter(): Uint8Array {
  const program = instructions();
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(({ code, to, from = 0, offset = 0, value = 0 }, index) => {
    bytes.setUint8(index * 8, code);
    bytes.setUint8(index * 8 + 1, to | (from << 4));
    bytes.setInt16(index * 8 + 2, offset, true);
    bytes.setInt32(index * 8 + 4, value, true);
  });
  return new Uint8Array(bytes.buffer);
}
