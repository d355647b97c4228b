import type { StoredImage } from "../../../lib/store/model.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import { TreeNode } from "../../../lib/tree/tree-node.ts";
import { readDigests } from "../../../solver/select/file-digests.ts";
import type { LookParts } from "./image-files.ts";
import { type LayerContent, type LayerFile, readLayer } from "./layer-files.ts";

/** The size of one layer. Bytes are those of regular files, hard links counted once. */
export interface LayerSize {
  /** The instruction that made it. */
  readonly createdBy: string;
  readonly files: number;
  readonly addedBytes: number;
  /** The part of `addedBytes` that later layers overwrite or remove: pulled, but never visible. */
  readonly hiddenBytes: number;
  /** The part of `addedBytes` that a lower layer has already: only mode, owner or time are new. */
  readonly repeatedBytes: number;
  readonly removed: number;
}

export interface LargeFile {
  readonly path: string;
  readonly bytes: number;
  /** Index of its layer, from the bottom. */
  readonly layer: number;
  readonly isHidden: boolean;
}

export interface ImageSize {
  /** Layers from the bottom. */
  readonly layers: readonly LayerSize[];
  /** Largest first. */
  readonly largest: readonly LargeFile[];
}

const MAX_LARGEST = 1000;

/** Measures an image's layers by their files. Layers that were never unpacked are unpacked first. */
export async function measureImage(parts: LookParts, image: StoredImage, signal: AbortSignal): Promise<ImageSize> {
  const { snapshotter, images } = parts;
  await images.materialize(image.layers, undefined, signal);
  await using _view = await snapshotter.view(image.layers, signal);
  const contents: LayerContent[] = [];
  for (const id of image.layers) contents.push(await readLayer(parts, snapshotter.pathOf(id)));
  const hidden = contents.map(() => 0);
  const large: LargeFile[] = [];
  const cover = new Cover();
  for (const [layer, content] of [...contents.entries()].toReversed()) {
    for (const { path, bytes } of content.files) {
      const isHidden = cover.hides(path);
      if (isHidden) hidden[layer] = (hidden[layer] ?? 0) + bytes;
      large.push({ path, bytes, layer, isHidden });
    }
    cover.add(content);
  }
  const repeated = await repeatedBytes(parts, contents, signal);
  const steps = image.config.history.filter((entry) => entry.empty_layer !== true);
  return {
    layers: contents.map(({ files, whiteouts }, layer) => ({
      createdBy: steps[layer]?.created_by ?? "",
      files: files.length,
      addedBytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
      hiddenBytes: hidden[layer] ?? 0,
      repeatedBytes: repeated[layer] ?? 0,
      removed: whiteouts.length,
    })),
    largest: large.toSorted((a, b) => b.bytes - a.bytes).slice(0, MAX_LARGEST),
  };
}

/** The names that the layers above hide. */
class Cover {
  /** Names that exist above, or are removed: the same path below is hidden, with everything below it. */
  readonly #names = new Set<string>();
  /** Directories that hide everything below them. */
  readonly #opaque = new Set<string>();

  add({ files, others, whiteouts, opaque }: LayerContent): void {
    for (const { path } of files) this.#names.add(path);
    for (const path of [...others, ...whiteouts]) this.#names.add(path);
    for (const path of opaque) this.#opaque.add(path);
  }

  hides(path: string): boolean {
    if (this.#names.has(path)) return true;
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const above = path.slice(0, slash);
      if (this.#names.has(above) || this.#opaque.has(above)) return true;
    }
    return false;
  }
}

/** Adds up, per layer, the files that equal the same path in the nearest lower layer byte for byte. */
async function repeatedBytes(
  { native, snapshotter }: LookParts,
  contents: readonly LayerContent[],
  signal: AbortSignal,
): Promise<readonly number[]> {
  const last = new Map<string, { readonly layer: number; readonly file: LayerFile }>();
  const sums: number[] = [];
  for (const [layer, content] of contents.entries()) {
    let sum = 0;
    const pairs: { readonly file: LayerFile; readonly below: { readonly layer: number; readonly file: LayerFile } }[] =
      [];
    for (const file of content.files) {
      const below = last.get(file.path);
      if (below !== undefined && file.bytes > 0 && below.file.bytes === file.bytes) pairs.push({ file, below });
      last.set(file.path, { layer, file });
    }
    for (const { file, below } of pairs) {
      const [own, theirs] = await Promise.all([
        digestOfFile(content, file),
        digestOfFile(contents[below.layer] ?? content, below.file),
      ]);
      if (own.equals(theirs)) sum += file.bytes;
    }
    sums.push(sum);
  }
  return sums;

  async function digestOfFile({ directory, scan }: LayerContent, { path, row }: LayerFile): Promise<Buffer> {
    using tree = new MergedTree({ native, directories: [directory], marks: snapshotter.marks });
    const node = new TreeNode(path, { scan, layer: 0, base: "", scannedAtNs: 0n }, row, []);
    return (await readDigests(tree, [node], signal)).digests;
  }
}
