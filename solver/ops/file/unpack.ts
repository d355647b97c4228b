import { BuildError } from "../../../lib/core/errors.ts";
import { AT_FDCWD, S_IFLNK, S_IFMT, S_IFREG } from "../../../lib/native/constants.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { wholeSecond } from "../../../lib/tar/entry.ts";
import { isReservedDevice, reservedDevice } from "../../../lib/tar/reserved.ts";
import { TarReader } from "../../../lib/tar/read.ts";
import { unpackArchive } from "../../../lib/tar/unpack.ts";
import type { Match } from "../../select/select.ts";
import { type Directory, type Entry, MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import { scanDirectory, type TreeNode } from "../../../lib/tree/tree-node.ts";
import { isMovedSource, MovedSourceError } from "../../../lib/tree/moved-source.ts";
import { ArchiveFile } from "./archive-file.ts";
import type { CopiedContents } from "./copied-contents.ts";
import type { CopySettings } from "./copy.ts";
import { type Destination, join, shown } from "./destination.ts";
import { copyXattrs } from "./file-batch.ts";

/** The destination of archives: its tree and path, and a free name beside the upper directory to unpack into first. */
export interface UnpackTarget {
  readonly destination: Destination;
  readonly path: string;
  readonly staging: string;
  /** Records the content of unpacked archives that may change. */
  readonly copied?: CopiedContents | undefined;
}

/**
 * Unpacks an archive for ADD: its contents go into the destination, which is always a directory. They replace existing
 * files, except that a directory in both stays and takes the archive's mode and owner. Returns false when the match is
 * not an archive and, with `auto`, is to be copied as it is.
 *
 * The archive is unpacked beside the snapshot first, so that no link in it or in the image can redirect a file. Then
 * its files move to their places one by one.
 * @throws {BuildError} `archive/unsupported` with `always`; `archive/malformed`, `archive/unsafe-path`
 */
export async function unpackMatch(
  view: SourceView,
  match: Match,
  target: UnpackTarget,
  settings: CopySettings & { readonly unpack: "auto" | "always" },
  signal: AbortSignal,
): Promise<boolean> {
  if (match.node.type !== S_IFREG || !(await isArchive(view, match.node, signal))) {
    if (settings.unpack === "auto") return false;
    throw new BuildError(
      "archive/unsupported",
      `Cannot unpack ${JSON.stringify(match.name)}: it is not a tar archive`,
      { hint: "leave --unpack away to copy it as it is" },
    );
  }
  const { native } = target.destination;
  native.mkdirat(AT_FDCWD, target.staging, 0o700);
  try {
    const implied = await unpackStaged(view, match.node, target, settings, signal);
    using staged = new MergedTree({ native, directories: [target.staging], marks: undefined });
    const root = await scanDirectory(staged, staged.root, { nowNs: () => 0n, prune: {}, depth: "all" }, signal);
    const mover = new Mover(target, staged, new Set(implied), settings);
    mover.move(root);
  } finally {
    await native.removeTree(AT_FDCWD, target.staging);
  }
  return true;
}

/**
 * Unpacks into the staging directory.
 * @returns the directories that the archive itself lacks
 */
async function unpackStaged(
  view: SourceView,
  node: TreeNode,
  target: UnpackTarget,
  { owner }: CopySettings,
  signal: AbortSignal,
): Promise<readonly string[]> {
  using file = new ArchiveFile(view, node);
  const note = async (): Promise<void> => {
    if (target.copied === undefined) return;
    const { digest, sizeBytes } = await file.finish(signal);
    target.copied.note(node, digest, sizeBytes);
  };
  try {
    const { kind, stream } = await sniffCompression(file.bytes(signal), signal);
    const { impliedDirectories } = await unpackArchive(
      decompress(stream, kind, signal),
      {
        native: target.destination.native,
        directory: target.staging,
        owner: owner === undefined ? { kind: "keep" } : { kind: "fixed", ...owner },
      },
      signal,
    );
    await note();
    return impliedDirectories;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof BuildError) || isMovedSource(error)) throw error;
    // Half of an old archive and half of a new one are not an archive.
    await note();
    throw target.copied?.changed.includes(node) === true ? new MovedSourceError(error) : error;
  }
}

class Mover {
  readonly #destination: Destination;
  readonly #staged: MergedTree;
  /** Directories that the archive only implies: they do not change existing ones. */
  readonly #implied: ReadonlySet<string>;
  readonly #settings: CopySettings;

  /** Destination of the archive. */
  readonly #root: Directory;

  constructor(target: UnpackTarget, staged: MergedTree, implied: ReadonlySet<string>, settings: CopySettings) {
    const { destination } = target;
    this.#destination = destination;
    this.#staged = staged;
    this.#implied = implied;
    this.#settings = settings;
    this.#root = this.#target(target.path);
  }

  #target(path: string): Directory {
    const { parent, entry, missing } = this.#destination.tree.resolve(path, "follow");
    if (missing.length > 0) {
      const { owner, parentTimeNs } = this.#settings;
      return this.#destination.makeParents(parent, missing, { mode: 0o755, owner, mtimeNs: parentTimeNs });
    }
    if (entry === undefined) return parent;
    if (entry.directory !== undefined) return entry.directory;
    throw new BuildError("solver/copy-failed", `Cannot unpack into ${shown(path.replace(/^\/+/, ""))}: it is a file`);
  }

  /** Moves the content of a staged directory into a directory of the destination. */
  move(from: TreeNode, into: Directory = this.#root): void {
    for (const node of from.children) {
      if (node.isDirectory) this.move(node, this.#directory(node, into));
      else this.#file(node, into);
    }
  }

  #directory(node: TreeNode, into: Directory): Directory {
    const { tree } = this.#destination;
    const existing = tree.child(into, node.name);
    const metadata = { mode: node.mode & 0o7777, uid: node.uid, gid: node.gid, mtimeNs: datedAfterEpoch(node.mtimeNs) };
    if (this.#implied.has(node.layerPath)) return this.#impliedDirectory(node.name, into, existing);
    if (existing?.directory !== undefined) this.#destination.changeDirectory(existing.directory, metadata);
    else if (existing !== undefined) this.#destination.remove(into, existing);
    const directory = existing?.directory ?? this.#destination.makeDirectory(into, node.name, metadata);
    if (node.hasXattrs) copyXattrs({ tree: this.#staged, owners: "kept" }, node, this.#destination, directory.path);
    return directory;
  }

  /**
   * Resolves a directory that is only a path to its content: a symlink serves as well. BuildKit unpacks with the
   * destination as root: absolute links lead there, `..` does not leave it, and missing targets are made.
   */
  #impliedDirectory(name: string, into: Directory, existing: Entry | undefined): Directory {
    const { tree } = this.#destination;
    const metadata = { mode: 0o755, owner: undefined, mtimeNs: this.#settings.parentTimeNs };
    if (existing?.directory !== undefined) return existing.directory;
    if (existing !== undefined && (existing.status.mode & S_IFMT) === S_IFLNK) {
      const path = join(into, name).slice(this.#root.path === "" ? 0 : this.#root.path.length + 1);
      const found = tree.resolve(path, "follow", this.#root);
      if (found.missing.length > 0) return this.#destination.makeParents(found.parent, found.missing, metadata);
      if (found.entry === undefined) return found.parent;
      if (found.entry.directory !== undefined) return found.entry.directory;
    }
    if (existing !== undefined) this.#destination.remove(into, existing);
    return this.#destination.makeParents(into, [name], metadata);
  }

  /** Moves a file. A rename keeps everything: content, links between files, attributes, and times in whole seconds. */
  #file(node: TreeNode, into: Directory): void {
    if (isReservedDevice(node.type, node.device)) throw reservedDevice(join(into, node.name));
    const existing = this.#destination.tree.child(into, node.name);
    if (existing?.directory !== undefined) this.#destination.remove(into, existing);
    const fd = this.#destination.claim(into, node.name);
    this.#destination.native.renameat(this.#staged.layerFd(0), node.layerPath, fd, node.name);
    const { mode, uid, gid } = node;
    const mtimeNs = datedAfterEpoch(node.mtimeNs);
    // Only newer archive formats have fractions of seconds. A link shares the time of its first name.
    if (wholeSecond(mtimeNs) !== node.mtimeNs) this.#destination.native.utimensat(fd, node.name, wholeSecond(mtimeNs));
    this.#destination.noteFile(into, node.name, node.type, { mode, uid, gid, mtimeNs });
  }
}

/** Turns times before 1970 and beyond 2262 into the epoch, as docker's ADD does. Nanoseconds. */
function datedAfterEpoch(ns: bigint): bigint {
  return ns < 0n || wholeSecond(ns) >= LAST_SECOND ? 0n : ns;
}

/** The last second of 64-bit nanoseconds: the reader gives it to all later times. */
const LAST_SECOND = 9_223_372_036_000_000_000n;

/**
 * Tells whether a file is a tar, compressed or not. Content decides, never the name: uncompressed, it must begin with a
 * readable member. A damaged compression or header counts as "no archive", as in BuildKit.
 */
async function isArchive(view: SourceView, node: TreeNode, signal: AbortSignal): Promise<boolean> {
  if (node.sizeBytes === 0) return false;
  using file = new ArchiveFile(view, node);
  const { kind, stream } = await sniffCompression(file.bytes(signal), signal);
  const reader = new TarReader();
  try {
    for await (const piece of decompress(stream, kind, signal)) {
      for (const event of reader.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength))) {
        if (event.kind === "entry") return true;
      }
      // An empty file is no archive, nor is one with only extension headers.
      if (reader.isDone) return false;
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BuildError && error.code === "archive/malformed") return false;
    throw error;
  }
  return false;
}
