import { systemFailure } from "../../lib/core/system-failure.ts";
import type { Digest } from "../../lib/core/digest.ts";
import type { CacheRecord, KeyPart } from "../../lib/store/model.ts";
import { type KeyedVertex, reselect, withSpan } from "../cache/keyed-graph.ts";
import { Listings } from "../cache/listings.ts";
import type { InputUse } from "../cache/uses.ts";
import type { SolveOptions, SolverDeps } from "../deps.ts";
import { FileWork, type InputTree } from "../ops/file/file-work.ts";
import type { Stack } from "../ports.ts";
import { toDigested } from "../select/digest-selection.ts";
import type { Selection } from "../select/select.ts";
import { explainingNotes } from "./comparable.ts";
import { type EarlierResults, isWhole, type SettledInputs, stackNote } from "./earlier-results.ts";
import { distinct } from "./layers.ts";
import type { Materializer } from "./materializer.ts";

/** What a step's inputs are read with. */
export interface StepInputsDeps {
  readonly solver: SolverDeps;
  readonly options: Pick<SolveOptions, "lineage">;
  readonly earlierResults: EarlierResults;
  readonly materializer: Materializer;
  readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
}

/**
 * The inputs of one step: their layers, the files that the step looks at, and the key that both give. Files are selected
 * when somebody asks, once.
 */
export class StepInputs implements SettledInputs, AsyncDisposable {
  readonly uses: readonly InputUse[];
  readonly stacks: readonly (Stack | undefined)[];
  readonly files: FileWork;
  readonly listings: Listings;
  /** Selections by part, made on demand. */
  readonly selected = new Map<string, Selection>();
  #keyed: KeyedVertex;
  readonly #deps: StepInputsDeps;

  /** @param stacks layers of the vertex's inputs, `undefined` for local directories */
  constructor(keyed: KeyedVertex, stacks: readonly (Stack | undefined)[], deps: StepInputsDeps) {
    this.uses = keyed.uses;
    this.stacks = stacks;
    this.#keyed = keyed;
    this.#deps = deps;
    this.listings = new Listings(deps.solver.store.blobs);
    this.files = new FileWork({ ...deps.solver, snapshots: deps.solver.store.snapshots });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.files[Symbol.asyncDispose]();
  }

  /** The step under the key of what it read: not the planned one where files changed before they were copied. */
  get keyed(): KeyedVertex {
    return this.#keyed;
  }

  async contentPart(use: InputUse, signal: AbortSignal): Promise<KeyPart> {
    const selected = await this.#select(use, signal);
    return { name: use.part, value: selected.digest, basis: "content" };
  }

  /**
   * Continues as the step for the copied files, if they differ from the selected ones. A result is stored under the key
   * of its actual content.
   */
  takeChanged(): boolean {
    for (const [part, selection] of this.files.changed) this.selected.set(part, selection);
    const changed = [...this.#keyed.selected].flatMap(([part, { digest }]) => {
      const selection = this.selected.get(part);
      // Found by fingerprint, files may have changed before they were read one by one.
      return selection === undefined || selection.digest === digest ? [] : [[part, toDigested(selection)] as const];
    });
    if (changed.length === 0) return false;
    const { solver, keyed } = this.#deps;
    this.#keyed = reselect(this.#keyed, new Map(changed), { keyed, isolation: solver.isolation });
    return true;
  }

  /** Returns the layers that the step stands on. */
  parent(): Stack {
    const use = this.uses.find((one) => one.kind === "parent");
    return use === undefined ? [] : (this.stacks[use.input] ?? []);
  }

  /**
   * Makes the layers of all inputs present, and selects the files that the step uses. A step that runs elsewhere needs
   * the client's files only.
   */
  async prepare(isElsewhere: boolean, signal: AbortSignal): Promise<void> {
    for (const stack of isElsewhere ? [] : this.stacks) {
      if (stack !== undefined) await this.#deps.materializer.materialize(stack, signal);
    }
    for (const use of this.uses) {
      if (isElsewhere && this.stacks[use.input] !== undefined) continue;
      if (!isWhole(use) || this.#keyed.selected.has(use.part)) await this.#select(use, signal);
    }
  }

  async #select(use: InputUse, signal: AbortSignal): Promise<Selection> {
    const known = this.selected.get(use.part);
    if (known !== undefined) return known;
    const named = this.#keyed.selected.get(use.part);
    if (named !== undefined) {
      const whole = await named.whole(signal);
      this.selected.set(use.part, whole);
      return whole;
    }
    const stack = this.stacks[use.input];
    if (stack === undefined) throw new Error(`Input ${use.input} has no layers`);
    await this.#deps.materializer.materialize(stack, signal);
    const selected = await this.#read(use, stack, signal);
    this.selected.set(use.part, selected);
    return selected;
  }

  async #read(use: InputUse, stack: Stack, signal: AbortSignal): Promise<Selection> {
    try {
      return await this.files.select(use, { kind: "stack", stack: distinct(stack) }, signal);
    } catch (error) {
      throw withSpan(systemFailure("read what this step takes", error), this.#keyed.meta);
    }
  }

  /**
   * Lists the key's parts with everything that a record keeps: contents of the inputs, and the listings of their files.
   */
  fullParts(): readonly KeyPart[] {
    const parts = this.#keyed.parts.map((part) => {
      const selected = part.basis === undefined ? this.selected.get(part.name) : undefined;
      return selected === undefined ? part : { ...part, listing: this.listings.keep(selected.listing) };
    });
    for (const use of this.uses) {
      const stack = this.stacks[use.input];
      if (stack === undefined) continue;
      if (use.kind !== "parent") parts.push(stackNote(use, stack));
      const selected = this.selected.get(use.part);
      if (selected === undefined) continue;
      const listing = this.listings.keep(selected.listing);
      parts.push({ name: use.part, value: selected.digest, basis: "content", listing });
    }
    return [
      ...parts,
      ...explainingNotes(this.#keyed, this.#deps.keyed, this.#deps.options.lineage),
      ...this.#deps.earlierResults.knownContentParts(this),
    ];
  }

  /** Lists the parts of an equal result, for this step's own key and inputs. */
  composedParts(equal: CacheRecord): readonly KeyPart[] {
    const listings = new Map(equal.parts.map(({ name, value, listing }) => [`${name} ${value}`, listing]));
    const parts = this.#keyed.parts.map((part) => {
      const listing = part.basis === undefined ? listings.get(`${part.name} ${part.value}`) : undefined;
      return listing === undefined ? part : { ...part, listing };
    });
    for (const use of this.uses) {
      const stack = this.stacks[use.input];
      if (stack === undefined) continue;
      if (use.kind !== "parent") parts.push(stackNote(use, stack));
      // They are equal, or the result would not be.
      if (!isWhole(use))
        parts.push(...equal.parts.filter((part) => part.name === use.part && part.basis === "content"));
    }
    return [
      ...parts,
      ...explainingNotes(this.#keyed, this.#deps.keyed, this.#deps.options.lineage),
      ...this.#deps.earlierResults.knownContentParts(this),
    ];
  }

  /** Returns what the step's op gets of each input. */
  trees(): (InputTree | undefined)[] {
    return this.#keyed.vertex.inputs.map((input, index): InputTree | undefined => {
      if (input.op.kind === "local") return { kind: "local", op: input.op };
      const stack = this.stacks[index];
      return stack === undefined ? undefined : { kind: "stack", stack: distinct(stack) };
    });
  }
}
