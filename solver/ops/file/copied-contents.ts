import { type Digest, digestFromHex } from "../../../lib/core/digest.ts";
import { S_IFREG } from "../../../lib/native/constants.ts";
import { CONTENTS, digestOfListing } from "../../select/listing.ts";
import type { Selection } from "../../select/select.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";

interface Content {
  readonly digest: Buffer;
  readonly sizeBytes: number;
}

const DIGEST_BYTES = 32;
/** Columns of a listing's line; see `listFiles`. */
const SIZE_COLUMN = 5;
const DIGEST_COLUMN = 6;

/**
 * A comparison of copied content with the content at selection, for files that can change at any time. A time stamp is
 * no proof: some clocks tick every two seconds, and writes through a memory map may not change any time.
 */
export class CopiedContents {
  readonly #selection: Selection;
  /** Copies by inode: two names of one file are one file in the copy too. */
  readonly #changed = new Map<string, Content>();
  #places: Map<TreeNode, number> | undefined;

  constructor(selection: Selection) {
    this.#selection = selection;
  }

  /** Records the copied content of a selected file. */
  note(node: TreeNode, digest: Buffer, sizeBytes: number): void {
    const place = this.#placeOf(node);
    if (place === undefined) return;
    const { digests } = this.#selection.contents;
    const isSame = digest.equals(digests.subarray(place * DIGEST_BYTES, (place + 1) * DIGEST_BYTES));
    if (!isSame || sizeBytes !== node.sizeBytes)
      this.#changed.set(node.inode, { digest: Buffer.from(digest), sizeBytes });
  }

  /** Lists changed files. */
  get changed(): readonly TreeNode[] {
    if (this.#changed.size === 0) return [];
    return regularFiles(this.#selection).filter((node) => this.#changed.has(node.inode));
  }

  /** Returns the selection that matches the copy; `undefined` when the original one does. */
  actual(): Selection | undefined {
    if (this.#changed.size === 0) return undefined;
    const { matches, contents } = this.#selection;
    const digests = Buffer.from(contents.digests);
    const lines = this.#selection.listing.split("\n");
    let line = 0;
    let place = 0;
    for (const { node: own, files } of matches) {
      if (`${lines[line]}\n` === CONTENTS) line += 1;
      else this.#rewrite(lines, line++, digests, own.type === S_IFREG ? { node: own, place: place++ } : undefined);
      for (const { node } of files) {
        this.#rewrite(lines, line++, digests, node.type === S_IFREG ? { node, place: place++ } : undefined);
      }
    }
    const listing = lines.join("\n");
    return { digest: digestOfListing(listing), listing, matches, contents: { digests, kept: contents.kept } };
  }

  #rewrite(
    lines: string[],
    line: number,
    digests: Buffer,
    file: { readonly node: TreeNode; readonly place: number } | undefined,
  ): void {
    const content = file === undefined ? undefined : this.#changed.get(file.node.inode);
    if (file === undefined || content === undefined) return;
    content.digest.copy(digests, file.place * DIGEST_BYTES);
    const digest: Digest = digestFromHex(content.digest.toString("hex"));
    lines[line] = (lines[line] ?? "")
      .split("\t")
      .with(SIZE_COLUMN, String(content.sizeBytes))
      .with(DIGEST_COLUMN, digest)
      .join("\t");
  }

  #placeOf(node: TreeNode): number | undefined {
    this.#places ??= new Map(regularFiles(this.#selection).map((file, place) => [file, place]));
    return this.#places.get(node);
  }
}

/** Lists entries in the order of the selection's contents. */
function regularFiles({ matches }: Selection): readonly TreeNode[] {
  return matches
    .flatMap(({ node, files }) => [node, ...files.map((file) => file.node)])
    .filter(({ type }) => type === S_IFREG);
}
