import { PassThrough } from "node:stream";
import { once } from "node:events";
import { BLOCK } from "./entry.ts";
import { type RawMember, rawMembers } from "./raw-members.ts";
import { roleOf } from "./whiteouts.ts";

/*
 * One layer as several that give the same tree, one over the other. The tar is read twice: once for the plan, and once
 * for the parts. Every member keeps its bytes; what is new is that the headers of directories are repeated.
 *
 *     d/  d/.wh.x  d/a  d/b  d/c        ->        d/  d/.wh.x  d/a   |   d/  d/b  d/c
 */

/** The plan of a split. Members are named by their place in the tar. */
export interface SplitPlan {
  readonly parts: number;
  /** The part of each member; -1 for a directory that only goes where what is in it goes. */
  readonly partOf: Int32Array;
  /** The directory that each member is in; -1 for none. */
  readonly parentOf: Int32Array;
  /** Headers of the directories. */
  readonly directories: ReadonlyMap<number, Buffer>;
}

/** Two blocks of zeros end every tar. */
const END_BYTES = 2 * BLOCK;

/**
 * Plans parts of at most `partBytes`, in the order of the tar. Marks come first, for they hide what lies below them; the names of a file
 * stay together. A file that is larger has a part of its own.
 */
export async function planSplit(tar: AsyncIterable<Uint8Array>, partBytes: number): Promise<SplitPlan> {
  const tree = new Members();
  for await (const event of rawMembers(tar)) if (event.kind === "member") tree.add(event.member);
  return tree.plan(partBytes - END_BYTES);
}

/** The members of a tar as a tree, without their contents. */
class Members {
  readonly #paths = new Map<string, number>();
  readonly #sizes: number[] = [];
  readonly #parents: number[] = [];
  readonly #marks: boolean[] = [];
  /** The first name of each file, for further ones. */
  readonly #targets = new Map<number, number>();
  readonly #directories = new Map<number, Buffer>();

  add({ path, type, linkName, header, contentBytes }: RawMember): void {
    const index = this.#sizes.length;
    const name = plain(path);
    this.#sizes.push(header.length + contentBytes);
    this.#parents.push(this.#parentOf(name));
    this.#marks.push(roleOf(name) !== "file");
    if (type === "directory") this.#directories.set(index, header);
    if (type === "link") {
      const target = this.#paths.get(plain(linkName));
      if (target !== undefined) this.#targets.set(index, this.#targets.get(target) ?? target);
    }
    this.#paths.set(name, index);
  }

  plan(partBytes: number): SplitPlan {
    const partOf = new Int32Array(this.#sizes.length).fill(-1);
    let part = 0;
    let used = 0;
    let open = new Set<number>();
    for (const item of this.#items()) {
      const size = item.reduce((sum, index) => sum + (this.#sizes[index] ?? 0), 0);
      const missing = this.#around(item, open);
      if (used > 0 && used + size + this.#bytesOf(missing) > partBytes) {
        part += 1;
        used = 0;
        open = new Set();
      }
      const needed = this.#around(item, open);
      used += size + this.#bytesOf(needed);
      for (const index of needed) open.add(index);
      for (const index of item) partOf[index] = part;
    }
    return { parts: part + 1, partOf, parentOf: Int32Array.from(this.#parents), directories: this.#directories };
  }

  /** Members that stay together: marks one by one, and then files with all their names. Directories come along with what is in them. */
  #items(): readonly (readonly number[])[] {
    const filled = new Set(this.#parents);
    const marks: number[][] = [];
    const others = new Map<number, number[]>();
    for (const [index, isMark] of this.#marks.entries()) {
      if (this.#directories.has(index) && filled.has(index)) continue;
      if (isMark) marks.push([index]);
      else {
        const first = this.#targets.get(index) ?? index;
        const item = others.get(first);
        if (item === undefined) others.set(first, [index]);
        else item.push(index);
      }
    }
    return [...marks, ...others.values()];
  }

  #around(item: readonly number[], open: ReadonlySet<number>): ReadonlySet<number> {
    const found = new Set<number>();
    for (const index of item) {
      let at = this.#parents[index] ?? -1;
      for (; at !== -1 && !open.has(at); at = this.#parents[at] ?? -1) found.add(at);
    }
    return found;
  }

  #bytesOf(indexes: ReadonlySet<number>): number {
    let sum = 0;
    for (const index of indexes) sum += this.#sizes[index] ?? 0;
    return sum;
  }

  /** Returns the nearest directory above that has a member. */
  #parentOf(name: string): number {
    for (let end = name.lastIndexOf("/"); end > 0; end = name.lastIndexOf("/", end - 1)) {
      const index = this.#paths.get(name.slice(0, end));
      if (index !== undefined && this.#directories.has(index)) return index;
    }
    return -1;
  }
}

function plain(path: string): string {
  return path.replace(/^(?:\.?\/)+/, "").replace(/\/+$/, "");
}

/**
 * Writes the parts of a tar. A part is begun with its first member and ended with its last, so that few are open at a time.
 * @param write writes one part to its end
 * @returns what `write` gave, for each part
 */
export async function splitTar<T>(
  tar: AsyncIterable<Uint8Array>,
  plan: SplitPlan,
  write: (part: number, bytes: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<readonly T[]> {
  const left = new Map<number, number>();
  for (const part of plan.partOf) left.set(part, (left.get(part) ?? 0) + 1);
  const open = new Map<number, Part<T>>();
  const results: Promise<T>[] = [];
  const endIfWhole = async (index: number): Promise<void> => {
    if (left.get(index) !== 0) return;
    const part = open.get(index);
    open.delete(index);
    await part?.end();
  };
  let member = -1;
  let current = -1;
  try {
    for await (const event of rawMembers(tar)) {
      if (event.kind === "content") {
        await open.get(current)?.push(Buffer.from(event.bytes));
        continue;
      }
      await endIfWhole(current);
      member += 1;
      current = plan.partOf[member] ?? -1;
      if (current === -1) continue;
      let part = open.get(current);
      if (part === undefined) {
        part = new Part(current, write);
        results[current] = part.result;
        open.set(current, part);
      }
      left.set(current, (left.get(current) ?? 0) - 1);
      await part.enter(plan.parentOf[member] ?? -1, plan);
      await part.push(event.member.header);
    }
    await endIfWhole(current);
    return await Promise.all(results);
  } catch (error) {
    for (const part of open.values()) part.fail(error);
    await Promise.allSettled(results);
    throw error;
  }
}

/** A part that is being written. */
class Part<T> {
  readonly result: Promise<T>;
  readonly #bytes = new PassThrough({ highWaterMark: 4 << 20 });
  readonly #directories = new Set<number>();

  constructor(index: number, write: (part: number, bytes: AsyncIterable<Uint8Array>) => Promise<T>) {
    this.#bytes.on("error", () => undefined);
    this.result = write(index, this.#bytes).catch((error: unknown) => {
      this.fail(error);
      throw error;
    });
    this.result.catch(() => undefined);
  }

  /** Writes the headers of a directory and of those around it, where the part has them not yet. */
  async enter(directory: number, plan: SplitPlan): Promise<void> {
    if (directory === -1 || this.#directories.has(directory)) return;
    this.#directories.add(directory);
    await this.enter(plan.parentOf[directory] ?? -1, plan);
    const header = plan.directories.get(directory);
    if (header !== undefined) await this.push(header);
  }

  async push(bytes: Buffer): Promise<void> {
    // Writing to a stream that has failed is the writer's failure, and not a new one.
    if (this.#bytes.destroyed) await this.result;
    if (!this.#bytes.write(bytes)) await Promise.race([once(this.#bytes, "drain"), this.result]);
  }

  async end(): Promise<void> {
    await this.push(Buffer.alloc(END_BYTES));
    this.#bytes.end();
  }

  fail(error: unknown): void {
    this.#bytes.destroy(error instanceof Error ? error : new Error("The layer could not be split"));
  }
}
