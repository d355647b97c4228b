import {
  O_DIRECTORY,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from "../../../lib/native/constants.ts";
import type { KeptBytes } from "../../../lib/native/native.ts";
import { encodeName } from "../../../lib/native/names.ts";
import { DescribedTree } from "../../../lib/tar/described-tree.ts";
import { isReservedName } from "../../../lib/tar/reserved.ts";
import type { LayerDescription } from "../../../lib/tar/write-layer.ts";
import type { FileOp } from "../../graph/op.ts";
import type { Match, Selection } from "../../select/select.ts";
import type { Directory, MergedTree } from "../../../lib/tree/merged-tree.ts";
import { isOverlayMark } from "../../../lib/tree/overlay-marks.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import { inheriting } from "./destination.ts";
import { copiedMetadata, type CopySettings, parentMetadata } from "./copy.ts";
import { UnknownOwners } from "./owner.ts";
import { settingsOf } from "./run-file-op.ts";

/**
 * Minimum number of files for a described copy. Most of the cost of copying many small files is creating them; writing
 * their bytes into one file takes a tenth of the time. So where no step of a build reads the result of a COPY, its
 * layer is written as a tar at once, and unpacked on demand, like a pulled layer.
 *
 * Fewer files are created as fast as they are described. Larger ones are better shared with an earlier copy, by hard
 * links.
 */
const MIN_FILES = 512;
const MAX_MEAN_BYTES = 16 * 1024;
const MAX_BYTES = 256 * 1024 * 1024;
const DIGEST_BYTES = 32;

/** A copy as a description. Closing it closes its directory. */
export interface DescribedCopy extends LayerDescription, Disposable {
  /** Returns the source path of a file of the layer. */
  sourceOf(path: string): string;
}

/**
 * Describes the layer of an op that copies one directory with many small files, if nothing unusual is among them or at
 * their destination. Errors are left to the ordinary copy.
 * @param tree the tree below, without the new layer
 */
export function describeCopy(
  op: FileOp,
  context: {
    readonly tree: MergedTree;
    readonly view: SourceView;
    readonly selection: Selection;
    /** Time for directories without one of their own: the real-time clock, nanoseconds since 1970. */
    readonly nowNs: bigint;
    /** A copy of fewer files is not described. Tests have fewer than it takes for this to be of use. */
    readonly minFiles?: number;
  },
): DescribedCopy | undefined {
  const [action] = op.actions;
  const [match] = context.selection.matches;
  if (op.way !== undefined || op.actions.length !== 1 || action?.kind !== "copy" || action.unpack !== "never")
    return undefined;
  const { tree, view, minFiles = MIN_FILES } = context;
  if (match === undefined || context.selection.matches.length !== 1 || !isManySmallFiles(match, minFiles)) {
    return undefined;
  }
  const { parent, entry, missing } = tree.resolve(action.destination, "follow");
  const existing = missing.length > 0 || entry === undefined ? parent : entry.directory;
  if (existing === undefined) return undefined;
  const unknown = new UnknownOwners();
  const settings = settingsOf(action, tree, view, unknown);
  // The ordinary copy warns of them.
  if (unknown.size > 0) return undefined;
  const copy = new Description(context, match, settings);
  const target = copy.way(existing, missing);
  if (target === undefined || !copy.contents(target)) return undefined;
  const path = [existing.path, ...missing].filter((name) => name !== "").join("/");
  return copy.layer(path);
}

function isManySmallFiles({ node, files, keepsPath }: Match, minFiles: number): boolean {
  if (!node.isDirectory || keepsPath || files.length < minFiles) return false;
  let bytes = 0;
  let count = 0;
  for (const file of files) {
    if (file.node.type !== S_IFREG) continue;
    bytes += file.node.sizeBytes;
    count += 1;
  }
  return count >= minFiles && bytes <= Math.min(MAX_BYTES, count * MAX_MEAN_BYTES);
}

/** A directory of the layer: its row, and the existing directory below; absent for a new one. */
interface Place {
  readonly row: number;
  readonly existing: Directory | undefined;
}

class Description {
  readonly #tree: MergedTree;
  readonly #view: SourceView;
  readonly #match: Match;
  readonly #digests: Buffer;
  readonly #settings: CopySettings;
  readonly #nowNs: bigint;
  readonly #described: DescribedTree;
  readonly #expected: Buffer;
  /** Contents of files by rows of their scan, later by rows of the description. */
  readonly #bytes: KeptBytes;
  readonly #keptAt: Float64Array;

  constructor(
    context: {
      readonly tree: MergedTree;
      readonly view: SourceView;
      readonly selection: Selection;
      readonly nowNs: bigint;
    },
    match: Match,
    settings: CopySettings,
  ) {
    const rows = match.files.length + MAX_DEPTH + 1;
    const { digests, kept } = context.selection.contents;
    this.#tree = context.tree;
    this.#view = context.view;
    this.#digests = digests;
    this.#nowNs = context.nowNs;
    this.#match = match;
    this.#settings = settings;
    this.#described = new DescribedTree(rows - 1);
    this.#expected = Buffer.alloc(rows * DIGEST_BYTES);
    this.#bytes = kept.get(match.node.layer) ?? { bytes: Buffer.alloc(0), offsets: new Float64Array(0) };
    this.#keptAt = new Float64Array(rows).fill(-1);
  }

  /** Adds the directories from the root to the destination: existing ones as they are, and new ones. */
  way(existing: Directory, missing: readonly string[]): Place | undefined {
    const above: Directory[] = [];
    for (let at = existing; at.parent !== undefined; at = at.parent) above.unshift(at);
    if (above.length + missing.length > MAX_DEPTH || missing.some(isReservedName)) return undefined;
    const targetTime = this.#match.node.mtimeNs;
    let row = 0;
    for (const directory of above) {
      if (this.#hasXattrs(directory)) return undefined;
      const { mode, uid, gid, mtimeNs } = directory.status;
      const isTarget = missing.length === 0 && directory === existing;
      const name = directory.path.slice(directory.path.lastIndexOf("/") + 1);
      row = this.#described.addDirectory(row, name, { mode, uid, gid, mtimeNs: isTarget ? targetTime : mtimeNs });
    }
    let parent: Parameters<typeof inheriting>[0] = existing.status;
    for (const [index, name] of missing.entries()) {
      const metadata = inheriting(parent, parentMetadata(this.#settings));
      const mtimeNs = index === missing.length - 1 ? targetTime : (metadata.mtimeNs ?? this.#nowNs);
      row = this.#described.addDirectory(row, name, { ...metadata, mtimeNs });
      parent = metadata;
    }
    return { row, existing: missing.length > 0 ? undefined : existing };
  }

  /** Adds everything to copy; false when a file cannot be described. */
  contents(target: Place): boolean {
    const { node, files } = this.#match;
    const { layer } = node;
    const { columns } = layer.scan;
    const { owner, mode, keepOwner } = this.#settings;
    const isPlain = owner === undefined && mode === undefined && !keepOwner;
    const places = new Map<number, Place>([[node.index, target]]);
    const inodes = new Set<bigint>();
    let regular = 0;
    for (const { node: file } of files) {
      const from = file.index;
      const place = places.get(columns.parent[from] ?? -1);
      if (file.layer !== layer || place === undefined || file.hasXattrs) return false;
      if (isReservedName(file.name)) return false;
      const known = place.existing === undefined ? undefined : this.#tree.child(place.existing, file.name);
      const { type } = file;
      const isDirectory = type === S_IFDIR;
      if (!isDirectory && type !== S_IFREG && type !== S_IFLNK) return false;
      if (known !== undefined && isDirectory !== (known.directory !== undefined)) return false;
      if (known?.directory !== undefined && this.#hasXattrs(known.directory)) return false;
      const metadata = isPlain ? undefined : copiedMetadata(this.#settings, file);
      const row = this.#described.addScanned(place.row, layer.scan, from, metadata);
      if (isDirectory) places.set(from, { row, existing: known?.directory });
      if (type !== S_IFREG) continue;
      if (file.nlink > 1) {
        // Two names of one file are one member and a link to it.
        const inode = columns.ino[from] ?? 0n;
        if (inodes.has(inode)) return false;
        inodes.add(inode);
      }
      this.#digests.copy(this.#expected, row * DIGEST_BYTES, regular * DIGEST_BYTES, (regular + 1) * DIGEST_BYTES);
      this.#keptAt[row] = this.#bytes.offsets[from] ?? -1;
      regular += 1;
    }
    return true;
  }

  layer(path: string): DescribedCopy {
    const { native } = this.#view.tree;
    const { node } = this.#match;
    const root = this.#view.tree.layerFd(node.layer.layer);
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    const dirfd = native.openat2(root, node.layerPath === "" ? "." : node.layerPath, {
      flags: O_PATH | O_DIRECTORY,
      resolve,
    });
    return {
      columns: this.#described.columns(),
      dirfd,
      strip: path === "" ? 0 : encodeName(path).length + 1,
      expected: this.#expected,
      kept: { bytes: this.#bytes.bytes, offsets: this.#keptAt },
      sourceOf: (file) => {
        const below = path === "" ? file : file.slice(path.length + 1);
        return node.layerPath === "" ? below : `${node.layerPath}/${below}`;
      },
      [Symbol.dispose]: () => native.close(dirfd),
    };
  }

  /** Tells whether an existing directory has attributes, which a description cannot hold. */
  #hasXattrs(directory: Directory): boolean {
    const [top] = directory.parts;
    if (top === undefined) return false;
    return this.#tree.native.listXattrs(this.#tree.partFd(directory, top), ".").some((name) => !isOverlayMark(name));
  }
}

/** Limit of directories above the destination. */
const MAX_DEPTH = 200;
