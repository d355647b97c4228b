import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT, S_IFREG } from "../../../lib/native/constants.ts";
import type { TreeScan } from "../../../lib/native/scan.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import { isOpaque, isWhiteout } from "../../../lib/tree/overlay-marks.ts";
import { TreeNode } from "../../../lib/tree/tree-node.ts";
import { readDigests } from "../../../solver/select/file-digests.ts";
import type { LookParts } from "./image-files.ts";

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

interface LayerFile {
  readonly path: string;
  readonly bytes: number;
  readonly row: number;
}

interface LayerContent {
  readonly directory: string;
  readonly scan: TreeScan;
  readonly files: readonly LayerFile[];
  /** Paths that hide what is below them in lower layers: files, links, and directories of another kind. */
  readonly others: readonly string[];
  readonly whiteouts: readonly string[];
  readonly opaque: readonly string[];
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

async function readLayer({ native, snapshotter }: LookParts, directory: string): Promise<LayerContent> {
  const fd = native.openPath(directory, O_PATH | O_DIRECTORY);
  try {
    const scan = await native.scanTree(fd, { xattrs: true });
    const { mode, size, nlink, dev, ino, rdevMajor, rdevMinor } = scan.columns;
    const content = {
      files: [] as LayerFile[],
      others: [] as string[],
      whiteouts: [] as string[],
      opaque: [] as string[],
    };
    const counted = new Set<string>();
    for (let row = 1; row < scan.count; row += 1) {
      const path = scan.path(row);
      const bits = mode[row] ?? 0;
      const status = {
        mode: bits,
        rdevMajor: rdevMajor[row] ?? 0,
        rdevMinor: rdevMinor[row] ?? 0,
        size: size[row] ?? 0,
      };
      if ((bits & S_IFMT) === S_IFDIR) {
        if (scan.hasXattrs(row) && isOpaque(native, fd, path, snapshotter.marks)) content.opaque.push(path);
        continue;
      }
      if (isWhiteout(native, fd, path, scan.hasXattrs(row) ? status : { ...status, size: -1 }, snapshotter.marks)) {
        content.whiteouts.push(path);
        continue;
      }
      if ((bits & S_IFMT) !== S_IFREG) {
        content.others.push(path);
        continue;
      }
      const inode = `${dev[row] ?? 0}:${ino[row] ?? 0n}`;
      const isKnown = (nlink[row] ?? 1) > 1 && counted.has(inode);
      counted.add(inode);
      content.files.push({ path, bytes: isKnown ? 0 : (size[row] ?? 0), row });
    }
    return { directory, scan, ...content };
  } finally {
    native.close(fd);
  }
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
