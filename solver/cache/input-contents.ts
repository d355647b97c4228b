import { originOf } from "../../lib/store/snapshot-id.ts";
import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import type { ContentDigests, Stack } from "../ports.ts";

/**
 * Names of layers' contents: the content digest for a layer built here, the diffID for an image's (its id contains it,
 * so it need not be downloaded). Modification times count only in the second kind, so equal layers of the two kinds do
 * not look equal; that costs a run, never a wrong result.
 */
export class LayerContents {
  readonly #store: Pick<Store, "snapshots">;
  readonly #digests: ContentDigests;
  /** Known contents, which never change: the steps of a chain ask for the same layers. */
  readonly #found = new Map<SnapshotId, string>();

  constructor(store: Pick<Store, "snapshots">, digests: ContentDigests) {
    this.#store = store;
    this.#digests = digests;
  }

  /** Names a layer's contents, reading its files if necessary; `undefined` when the files are missing. */
  async of(id: SnapshotId, signal: AbortSignal): Promise<string | undefined> {
    const known = this.ofKnown(id);
    if (known !== undefined) return known;
    if (this.#store.snapshots.get(id)?.state !== "present") return undefined;
    return this.#digests.contentDigest(id, signal);
  }

  /** Names a stack: its layers' contents in order. Equal contents in different layers count as different. */
  async ofStack(stack: Stack, signal: AbortSignal): Promise<Digest | undefined> {
    const contents: string[] = [];
    for (const id of stack) {
      const content = await this.of(id, signal);
      if (content === undefined) return undefined;
      contents.push(content);
    }
    return digestOf(contents.join("\n"));
  }

  /** Does the same if all contents are known. */
  ofKnownStack(stack: Stack): Digest | undefined {
    const contents: string[] = [];
    for (const id of stack) {
      const content = this.ofKnown(id);
      if (content === undefined) return undefined;
      contents.push(content);
    }
    return digestOf(contents.join("\n"));
  }

  /** Tells whether two stacks are equal layer by layer; only layers with different ids are read. */
  async equal(a: Stack, b: Stack, signal: AbortSignal): Promise<boolean> {
    if (a.length !== b.length) return false;
    for (const [index, id] of a.entries()) {
      const other = b[index];
      if (other === undefined) return false;
      if (id === other) continue;
      const content = await this.of(id, signal);
      if (content === undefined || content !== (await this.of(other, signal))) return false;
    }
    return true;
  }

  /** Names a layer's contents without reading it. */
  ofKnown(id: SnapshotId): string | undefined {
    if (originOf(id) === "image") return id;
    const found = this.#found.get(id) ?? this.#store.snapshots.get(id)?.contentDigest;
    if (found !== undefined) this.#found.set(id, found);
    return found;
  }
}
