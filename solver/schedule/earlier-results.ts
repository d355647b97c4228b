import { originOf } from "../../lib/store/snapshot-id.ts";
import type { CacheRecord, KeyPart, SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import { LayerContents } from "../cache/input-contents.ts";
import { contentKey, sameWork, strongerParts } from "../cache/key.ts";
import type { InputUse } from "../cache/uses.ts";
import type { ContentDigests, Stack } from "../ports.ts";
import { OLDER_RECORDS } from "./plan.ts";

/** A step's facts about its inputs once they are settled. */
export interface SettledInputs {
  readonly uses: readonly InputUse[];
  /** Stacks by index in the vertex; `undefined` for local directories. */
  readonly stacks: readonly (Stack | undefined)[];
  /** Returns the `content` part of a use of some of an input's files, selecting them if necessary. */
  contentPart(use: InputUse, signal: AbortSignal): Promise<KeyPart>;
}

/** Records of one instruction of a stage. */
export interface EarlierRecords {
  readonly site: string;
  /** The last ones, newest first. They may be read for comparison; earlier ones count only by known contents. */
  readonly recent: readonly CacheRecord[];
}

/** Early cutoff: finds earlier results that equal running a step, or that equal its result. */
export class EarlierResults {
  readonly contents: LayerContents;
  readonly #store: Pick<Store, "records" | "snapshots">;

  constructor(store: Pick<Store, "records" | "snapshots">, digests: ContentDigests) {
    this.#store = store;
    this.contents = new LayerContents(store, digests);
  }

  /**
   * Finds the record of an earlier run of the same work on inputs with the same contents, with a layer that fits on the
   * parent. Inputs are only read when there is a record to compare with.
   */
  async equalRun(
    parts: readonly KeyPart[],
    inputs: SettledInputs,
    earlier: EarlierRecords,
    signal: AbortSignal,
  ): Promise<CacheRecord | undefined> {
    const lower = parentOf(inputs);
    // A stack must not contain a layer twice.
    const isAbove = ({ layers }: CacheRecord): boolean => !layers.slice(-1).some((id) => lower.includes(id));
    const asking = [parts, ...optional(strongerParts(parts))];
    const equalOf = async (records: readonly CacheRecord[]): Promise<CacheRecord | undefined> => {
      for (const record of records) {
        if (!isAbove(record) || !asking.some((all) => sameWork(record.parts, all))) continue;
        if (!(await this.#sameInputs(record, inputs, signal))) continue;
        // Fetched by id so that the store holds it: a listed record may be collected at any time.
        const held = this.#store.records.get(record.id);
        if (held !== undefined) return held;
      }
      return undefined;
    };
    const recent = await equalOf(earlier.recent);
    if (recent !== undefined) return recent;
    for (const all of asking) {
      const known = contentKey([...all, ...this.knownContentParts(inputs)]);
      const found = known === undefined ? undefined : this.#store.records.findByContentKey(known);
      if (found !== undefined && isAbove(found)) return found;
    }
    // The layers of a hundred records are not worth reading: of old ones only known contents count.
    const isKnown = ({ layers }: CacheRecord): boolean =>
      layers.length === lower.length + 1 && this.contents.ofKnownStack(layers.slice(0, -1)) !== undefined;
    return equalOf(this.#older(earlier).filter(isKnown));
  }

  /** Lists records of the same instruction before the recent ones, newest first. */
  #older({ site, recent }: EarlierRecords): readonly CacheRecord[] {
    if (recent.length === 0) return [];
    const ids = new Set(recent.map(({ id }) => id));
    return this.#store.records.latestBySite(site, OLDER_RECORDS).filter(({ id }) => !ids.has(id));
  }

  /** Lists the `content` parts that cost nothing: of whole stacks with all layers read before. */
  knownContentParts(inputs: SettledInputs): KeyPart[] {
    return inputs.uses.flatMap((use): KeyPart[] => {
      const stack = inputs.stacks[use.input];
      if (stack === undefined || !isWhole(use)) return [];
      const value = this.contents.ofKnownStack(stack);
      return value === undefined ? [] : [{ name: use.part, value, basis: "content" }];
    });
  }

  /**
   * Lists the `content` parts of all uses, reading present inputs if necessary; `undefined` when an input would have to
   * be fetched.
   */
  async contentParts(inputs: SettledInputs, signal: AbortSignal): Promise<readonly KeyPart[] | undefined> {
    const some: KeyPart[] = [];
    const whole: KeyPart[] = [];
    for (const use of inputs.uses) {
      const stack = inputs.stacks[use.input];
      if (stack === undefined) continue;
      if (isWhole(use)) {
        const value = await this.contents.ofStack(stack, signal);
        if (value === undefined) return undefined;
        whole.push({ name: use.part, value, basis: "content" });
      } else {
        if (this.#store.snapshots.getMany(stack).some((row) => row.state !== "present")) return undefined;
        some.push(await inputs.contentPart(use, signal));
      }
    }
    // In a record's order, on which the key depends.
    return [...some, ...whole];
  }

  /**
   * Finds an earlier layer of the same stage and instruction with the same contents as the new one. It is preferable:
   * layers above and images with it stay shared.
   * @param stack the step's parent. Its own layers are no candidates: a stack must not contain a layer twice.
   */
  async equalLayer(
    made: SnapshotId,
    stack: Stack,
    earlier: EarlierRecords,
    signal: AbortSignal,
  ): Promise<SnapshotId | undefined> {
    const topsOf = (records: readonly CacheRecord[]): readonly SnapshotId[] =>
      [...new Set(records.flatMap(({ layers }) => layers.slice(-1)))].filter(
        (top) => top !== made && originOf(top) !== "image" && !stack.includes(top) && this.#isPresent(top),
      );
    const tops = topsOf(earlier.recent);
    if (tops.length === 0) return undefined;
    const content = await this.contents.of(made, signal);
    if (content === undefined) return undefined;
    for (const top of tops) if (content === (await this.contents.of(top, signal))) return top;
    return topsOf(this.#older(earlier)).find((top) => content === this.contents.ofKnown(top));
  }

  #isPresent(id: SnapshotId): boolean {
    return this.#store.snapshots.get(id)?.state === "present";
  }

  async #sameInputs(record: CacheRecord, inputs: SettledInputs, signal: AbortSignal): Promise<boolean> {
    for (const use of inputs.uses) {
      const stack = inputs.stacks[use.input];
      // Local files are in the parts that have been compared.
      if (stack === undefined) continue;
      if (use.kind === "parent") {
        if (!(await this.contents.equal(record.layers.slice(0, -1), stack, signal))) return false;
        continue;
      }
      const note = record.parts.find((part) => part.name === `stack of ${use.part}`);
      if (note !== undefined && note.value === stackNote(use, stack).value) continue;
      const recorded = record.parts.find((part) => part.name === use.part && part.basis === "content");
      if (recorded === undefined) return false;
      const value = isWhole(use)
        ? await this.contents.ofStack(stack, signal)
        : (await inputs.contentPart(use, signal)).value;
      if (value !== recorded.value) return false;
    }
    return true;
  }
}

function optional<T>(value: T | undefined): readonly T[] {
  return value === undefined ? [] : [value];
}

function parentOf({ uses, stacks }: SettledInputs): Stack {
  const use = uses.find(({ kind }) => kind === "parent");
  return use === undefined ? [] : (stacks[use.input] ?? []);
}

/**
 * Tells whether a use takes a whole tree. It is then named by its layers: digesting all files of an image for a mount
 * would cost too much.
 */
export function isWhole(use: InputUse): boolean {
  return use.kind === "parent" || use.kind === "whole" || (use.kind === "path" && /^[/.]*$/.test(use.source));
}

/** Makes the note of the layers of a use, so that equal layers are recognised without reading them. */
export function stackNote(use: InputUse, stack: Stack): KeyPart {
  const where =
    use.kind === "copy" ? use.action.source : use.kind === "path" ? use.source : use.kind === "way" ? use.path : "";
  return { name: `stack of ${use.part}`, value: `${stack.join(" ")} ${where}`, basis: "note" };
}
