import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import { list, object, recallAs, TEXT } from "../../lib/core/shape.ts";
import { snapshotIdShape } from "../../lib/store/snapshot-id.ts";
import { kernelStamp } from "../../lib/tree/kernel-clock.ts";
import type { Stack } from "../ports.ts";

/** A working tree that an earlier process left for later ones. */
export interface KeptTree {
  readonly name: string;
  /** The layers it shows, lowest first. What the topmost one holds is missing in it. */
  readonly stack: Stack;
  /** A time of the kernel's later than the last change in the tree: what changed since does not belong to it. */
  readonly untilNs: bigint;
}

export interface KeptTreesOptions {
  /** `<store>/snapshots`. */
  readonly directory: string;
  readonly marks: "trusted" | "user";
  /** Name of this start of the machine: after another one, files may lack what was never flushed. */
  readonly bootId: string;
}

const WRITTEN = object({ bootId: TEXT, marks: TEXT, stack: list(snapshotIdShape), untilNs: TEXT });

/** The file beside a kept tree with the description of it. */
const NOTE = "kept";
/** Names of the directories. No row names them, so a collection takes them first. */
const PREFIX = "tree-";

/**
 * The working trees in a store that wait for a later build. Claiming one renames it, so that of two processes one has it; to
 * everything else they are garbage.
 */
export class KeptTrees {
  readonly #options: KeptTreesOptions;

  constructor(options: KeptTreesOptions) {
    this.#options = options;
  }

  /** Lists the trees that are still good. */
  list(): readonly KeptTree[] {
    return this.names().flatMap((name) => this.#read(name) ?? []);
  }

  names(): readonly string[] {
    try {
      return readdirSync(this.#options.directory).filter((name) => name.startsWith(PREFIX));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return [];
    }
  }

  /** Moves a tree to the path `home`; false when another process was faster. */
  claim({ name }: KeptTree, home: string): boolean {
    try {
      renameSync(join(this.#options.directory, name), home);
      return true;
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      return false;
    }
  }

  /** Leaves the tree in the directory `home` under a name that ends in `id`. */
  keep(home: string, stack: Stack, id: string): void {
    const { directory, marks, bootId } = this.#options;
    const untilNs = `${kernelStamp(home)}`;
    writeFileSync(join(home, NOTE), JSON.stringify({ bootId, marks, stack, untilNs }));
    renameSync(home, join(directory, `${PREFIX}${id}`));
  }

  /** `undefined` for a tree that is of no use any more. */
  #read(name: string): KeptTree | undefined {
    const { directory, marks, bootId } = this.#options;
    try {
      const note = recallAs(WRITTEN, readFileSync(join(directory, name, NOTE)));
      if (note?.bootId !== bootId || note.marks !== marks || !/^\d+$/.test(note.untilNs)) return undefined;
      return { name, stack: note.stack, untilNs: BigInt(note.untilNs) };
    } catch (error) {
      // Another process has claimed it.
      if (errnoOf(error) !== "ENOENT") throw error;
      return undefined;
    }
  }
}
