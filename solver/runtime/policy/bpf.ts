/** One classic BPF instruction (linux/filter.h, struct sock_filter). */
export interface BpfInstruction {
  readonly code: number;
  /** Instructions to skip when the test is true, and when it is not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** The part of classic BPF that seccomp filters are made of: opcode values of linux/bpf_common.h. */
export const BPF = {
  /** Load the 32-bit word at offset k of struct seccomp_data. */
  load: 0x20,
  and: 0x54,
  jump: 0x05,
  jumpIfEqual: 0x15,
  jumpIfAtLeast: 0x35,
  return: 0x06,
} as const;

/** Offsets in struct seccomp_data (linux/seccomp.h) on a little-endian machine. */
export const SECCOMP_DATA = {
  number: 0,
  arch: 4,
  /** Low half of an argument; the kernel's own 32-bit parameters are cut to it. */
  argument: (index: number): number => 16 + 8 * index,
} as const;

export const SECCOMP_RETURN = {
  killProcess: 0x8000_0000,
  allow: 0x7fff_0000,
  /** The call waits until the holder of the filter's descriptor has answered it. */
  notify: 0x7fc0_0000,
  errno: (number: number): number => 0x0005_0000 | number,
} as const;

/** A piece of program that ends in a return on every path, so pieces can be laid out one after another. */
export type BpfBlock = readonly BpfInstruction[];

export function ret(value: number): BpfBlock {
  return [{ code: BPF.return, jt: 0, jf: 0, k: value }];
}

/** Loads are one instruction; `after` goes on with the value loaded. */
export function load(offset: number, after: BpfBlock): BpfBlock {
  return [{ code: BPF.load, jt: 0, jf: 0, k: offset }, ...after];
}

/** Continues with `yes` if the value compares so with `k`, else with `no`. Conditional jumps reach 255, plain ones anywhere. */
export function branch(
  code: typeof BPF.jumpIfEqual | typeof BPF.jumpIfAtLeast,
  k: number,
  yes: BpfBlock,
  no: BpfBlock,
): BpfBlock {
  if (no.length <= 255) return [{ code, jt: no.length, jf: 0, k }, ...no, ...yes];
  return [{ code, jt: 0, jf: 1, k }, { code: BPF.jump, jt: 0, jf: 0, k: no.length }, ...no, ...yes];
}

/** The treatment of the calls from `first` up to the next entry's. */
export interface BpfRange {
  readonly first: number;
  readonly block: BpfBlock;
}

/** Binary search over ranges sorted by `first`, of which the first starts at 0: a call costs about eight comparisons. */
export function searchTree(ranges: readonly BpfRange[]): BpfBlock {
  const [only] = ranges;
  if (only === undefined) throw new Error("A search tree needs at least one range");
  if (ranges.length === 1) return only.block;
  const middle = Math.floor(ranges.length / 2);
  const [pivot] = ranges.slice(middle);
  if (pivot === undefined) throw new Error("A search tree lost its middle");
  return branch(BPF.jumpIfAtLeast, pivot.first, searchTree(ranges.slice(middle)), searchTree(ranges.slice(0, middle)));
}

/** The bytes the kernel takes: eight per instruction, little-endian. */
export function assemble(program: BpfBlock): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(({ code, jt, jf, k }, index) => {
    bytes.setUint16(index * 8, code, true);
    bytes.setUint8(index * 8 + 2, jt);
    bytes.setUint8(index * 8 + 3, jf);
    bytes.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(bytes.buffer);
}
