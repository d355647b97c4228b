import { type Digest, digestOf } from "../../lib/core/digest.ts";
import type { SnapshotId } from "../../lib/store/model.ts";
import type { Store } from "../../lib/store/store.ts";
import type { ContentDigests, Stack } from "../ports.ts";

/**
 * What names a layer's contents: the content digest of one built here, the diffID of an image's (its id says it, and it
 * need not be downloaded for that). Modification times count in the second kind only, so equal layers of the two kinds
 * are not recognised as equal; that costs a run, never a wrong result.
 */
export class LayerContents {
  readonly #store: Pick<Store, "snapshots">;
  readonly #digests: ContentDigests;
  /** Digests once known, which never change: the steps of a chain ask for the same layers. */
  readonly #found = new Map<SnapshotId, string>();

  constructor(store: Pick<Store, "snapshots">, digests: ContentDigests) {
    this.#store = store;
    this.#digests = digests;
  }

  /** Reads the layer's files where nobody has. `undefined` when they are not there to be read. */
  async of(id: SnapshotId, signal: AbortSignal): Promise<string | undefined> {
    const known = this.ofKnown(id);
    if (known !== undefined) return known;
    if (this.#store.snapshots.get(id)?.state !== "present") return undefined;
    return this.#digests.contentDigest(id, signal);
  }

  /** Of a stack: its layers' contents in order, so that equal contents in other layers count as different. */
  async ofStack(stack: Stack, signal: AbortSignal): Promise<Digest | undefined> {
    const contents: string[] = [];
    for (const id of stack) {
      const content = await this.of(id, signal);
      if (content === undefined) return undefined;
      contents.push(content);
    }
    return digestOf(contents.join("\n"));
  }

  /** The same where all of it is known already. */
  ofKnownStack(stack: Stack): Digest | undefined {
    const contents: string[] = [];
    for (const id of stack) {
      const content = this.ofKnown(id);
      if (content === undefined) return undefined;
      contents.push(content);
    }
    return digestOf(contents.join("\n"));
  }

  /** Whether two stacks are equal layer by layer; only layers that differ in name are read. */
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

  /** Facts about a layer that are known without reading it. */
  ofKnown(id: SnapshotId): string | undefined {
    if (id.startsWith("layer-")) return id;
    const found = this.#found.get(id) ?? this.#store.snapshots.get(id)?.contentDigest;
    if (found !== undefined) this.#found.set(id, found);
    return found;
  }
}
