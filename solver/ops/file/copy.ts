import { BuildError } from "../../../lib/core/errors.ts";
import { S_IFBLK, S_IFCHR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../../../lib/native/constants.ts";
import { wholeSecond } from "../../../lib/tar/entry.ts";
import { isReservedDevice, reservedDevice } from "../../../lib/tar/reserved.ts";
import type { CopyAction } from "../../graph/op.ts";
import type { Match } from "../../select/select.ts";
import type { Directory } from "../../../lib/tree/merged-tree.ts";
import type { FileContents, SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { type Destination, join, type NewMetadata, type ParentMetadata, shown } from "./destination.ts";
import type { CopiedContents } from "./copied-contents.ts";
import { copyXattrs, type EarlierCopy, FileBatch } from "./file-batch.ts";
import type { LostFiles } from "./lost-files.ts";
import type { Ids } from "./owner.ts";
import { applySymbolicMode, parseSymbolicMode, type SymbolicMode } from "./symbolic-mode.ts";

/** Changes that a copy makes to metadata: `--chown`, `--chmod`. */
export interface CopySettings {
  readonly owner: Ids | undefined;
  readonly mode:
    | { readonly kind: "octal"; readonly bits: number }
    | { readonly kind: "symbolic"; readonly mode: SymbolicMode }
    | undefined;
  /** True when files keep their owner of the source. */
  readonly keepOwner: boolean;
  /** The time of new parent directories, where the source's files have one in common; default: now. */
  readonly parentTimeNs?: bigint | undefined;
}

export function copySettings(action: CopyAction, owner: Ids | undefined, view: SourceView): CopySettings {
  return {
    owner,
    mode:
      action.mode?.kind === "symbolic" ? { kind: "symbolic", mode: parseSymbolicMode(action.mode.text) } : action.mode,
    keepOwner: action.keepOwner && view.owners === "kept",
    parentTimeNs: view.uniform?.mtimeNs,
  };
}

/**
 * Copies a match to its place by COPY's rules: the contents of a directory go into the destination; a file goes into a
 * destination that is a directory or ends in a slash, and otherwise gets the destination's own name.
 */
export async function copyMatch(
  view: SourceView,
  match: Match,
  place: {
    readonly destination: Destination;
    readonly path: string;
    /** Finds an earlier copy into the directory, which is given without symlinks. */
    readonly earlier?: ((target: string) => EarlierCopy | undefined) | undefined;
    /** Contents of files that are in memory. */
    readonly kept?: FileContents["kept"] | undefined;
    /** Records the content of copied files that may change. */
    readonly copied?: CopiedContents | undefined;
    readonly lost?: LostFiles | undefined;
  },
  settings: CopySettings,
  signal: AbortSignal,
): Promise<void> {
  const { destination, path, earlier, kept, copied } = place;
  const copier = new Copier(view, destination, settings, { kept, copied });
  if (match.node.isDirectory) {
    const target = copier.ensureDirectory(path);
    copier.share(earlier?.(target.path));
    // The directory itself keeps its mode and owner, or gets those of a new parent. Only its time is the source's.
    if (!match.keepsPath) destination.setTime(target, match.node.mtimeNs);
    await copier.copyContents(match, target, signal);
  } else {
    const { parent, name } = copier.fileTarget(path, match.name);
    destination.noteBelow(join(parent, name), "file");
    place.lost?.note(join(parent, name), match.node, !/(?:^|\/)\.?$/.test(path) && name === baseName(path));
    await copier.copyEntry(match.node, parent, name, signal);
  }
  await copier.flush(signal);
}

/** Returns the metadata of a file's copy. */
export function copiedMetadata(settings: CopySettings, node: TreeNode): NewMetadata & { readonly mtimeNs: bigint } {
  const { owner, keepOwner, mode } = settings;
  const bits = node.mode & 0o7777;
  return {
    mode:
      mode === undefined
        ? bits
        : mode.kind === "octal"
          ? mode.bits
          : applySymbolicMode(mode.mode, bits, node.isDirectory),
    uid: owner?.uid ?? (keepOwner ? node.uid : 0),
    gid: owner?.gid ?? (keepOwner ? node.gid : 0),
    mtimeNs: node.mtimeNs,
  };
}

/** Returns the metadata of new parent directories: `--chown` applies, and the permissions of an octal `--chmod`. */
export function parentMetadata({ owner, mode, parentTimeNs }: CopySettings): ParentMetadata {
  return { mode: mode?.kind === "octal" ? mode.bits & 0o777 : 0o755, owner, mtimeNs: parentTimeNs };
}

interface CopyContents {
  readonly kept: FileContents["kept"] | undefined;
  readonly copied: CopiedContents | undefined;
}

class Copier {
  readonly #view: SourceView;
  readonly #destination: Destination;
  readonly #settings: CopySettings;
  readonly #contents: CopyContents;
  #batch: FileBatch;
  /** First path of each inode with several names, so that hard links stay hard links. */
  readonly #links = new Map<string, string>();

  constructor(view: SourceView, destination: Destination, settings: CopySettings, contents: CopyContents) {
    this.#view = view;
    this.#contents = contents;
    this.#destination = destination;
    this.#settings = settings;
    this.#batch = this.#newBatch(undefined);
  }

  /** Shares files with an earlier copy where possible. Call it before copying anything. */
  share(earlier: EarlierCopy | undefined): void {
    if (earlier !== undefined) this.#batch = this.#newBatch(earlier);
  }

  #newBatch(earlier: EarlierCopy | undefined): FileBatch {
    return new FileBatch(this.#view, this.#destination, { ...this.#contents, earlier });
  }

  /** Finds the directory at a path, following symlinks, and makes it and its parents where missing. */
  ensureDirectory(path: string): Directory {
    const { parent, entry, missing } = this.#destination.tree.resolve(path, "follow");
    if (missing.length > 0) return this.#destination.makeParents(parent, missing, parentMetadata(this.#settings));
    if (entry === undefined) return parent;
    if (entry.directory === undefined) {
      throw new BuildError(
        "solver/copy-failed",
        `Cannot copy to ${shown(path.replace(/^\/+|\/+$/g, ""))}: it is not a directory`,
        {
          hint: "remove the file first, or choose another destination",
        },
      );
    }
    return entry.directory;
  }

  /** Finds the place for a single file. */
  fileTarget(path: string, name: string): { readonly parent: Directory; readonly name: string } {
    if (/(?:^|\/)\.?$/.test(path)) return { parent: this.ensureDirectory(path), name };
    const found = this.#destination.tree.resolve(path, "follow");
    const { parent, entry, missing } = found;
    if (missing.length > 0) {
      const last = missing.at(-1) ?? name;
      return {
        parent: this.#destination.makeParents(parent, missing.slice(0, -1), parentMetadata(this.#settings)),
        name: last,
      };
    }
    if (entry === undefined) return { parent, name };
    return entry.directory === undefined ? { parent, name: entry.name } : { parent: entry.directory, name };
  }

  /**
   * Copies everything below a matched directory. Parents come before their content, so each exists when it is needed.
   */
  async copyContents(match: Match, target: Directory, signal: AbortSignal): Promise<void> {
    const directories = new Map<string, Directory>([["", target]]);
    for (const { path, node } of match.files) {
      const slash = path.lastIndexOf("/");
      const parent = directories.get(slash === -1 ? "" : path.slice(0, slash));
      if (parent === undefined) throw new Error(`${path} is selected without the directory it is in`);
      const name = slash === -1 ? path : path.slice(slash + 1);
      if (node.isDirectory) directories.set(path, this.#copyDirectory(node, parent, name));
      else await this.copyEntry(node, parent, name, signal);
    }
  }

  async flush(signal: AbortSignal): Promise<void> {
    await this.#batch.flush(signal);
  }

  async copyEntry(node: TreeNode, parent: Directory, name: string, signal: AbortSignal): Promise<void> {
    const path = join(parent, name);
    if (this.#batch.holds(path)) await this.#batch.flush(signal);
    const { type } = node;
    if (type === S_IFSOCK) return;
    if (isReservedDevice(type, node.device)) throw reservedDevice(path);
    const metadata = copiedMetadata(this.#settings, node);
    const fd = this.#destination.claim(parent, name);
    const { native } = this.#destination;
    if (type === S_IFREG) {
      const first = node.nlink > 1 ? this.#links.get(node.inode) : undefined;
      if (first === undefined) {
        if (node.nlink > 1) this.#links.set(node.inode, path);
        await this.#batch.add(node, path, metadata, signal);
      } else {
        await this.#batch.flush(signal);
        native.linkat(this.#destination.upperFd, first, this.#destination.claim(parent, name), name);
      }
      this.#destination.noteFile(parent, name, type, metadata);
      return;
    }
    if (type === S_IFLNK) {
      native.symlinkat(node.linkTarget, fd, name);
    } else if (type === S_IFCHR || type === S_IFBLK || type === S_IFIFO) {
      native.mknodat(fd, name, type | 0o600, node.device);
      native.fchmodat(fd, name, metadata.mode & 0o7777);
    } else {
      throw new BuildError("solver/copy-failed", `Cannot copy ${shown(path)}: its type is not known`);
    }
    native.fchownat(fd, name, metadata.uid, metadata.gid);
    if (type !== S_IFLNK && (metadata.mode & 0o6000) !== 0) native.fchmodat(fd, name, metadata.mode & 0o7777);
    if (node.hasXattrs) copyXattrs(this.#view, node, this.#destination, path);
    native.utimensat(this.#destination.upperOf(parent), name, wholeSecond(metadata.mtimeNs ?? node.mtimeNs));
    this.#destination.noteFile(parent, name, type, metadata);
  }

  /** Makes a directory inside a copied one, or gives an existing one the source's mode, owner and time. */
  #copyDirectory(node: TreeNode, parent: Directory, name: string): Directory {
    const metadata = copiedMetadata(this.#settings, node);
    const existing =
      parent.isFresh === true && !parent.children.has(name) ? undefined : this.#destination.tree.child(parent, name);
    if (existing !== undefined && existing.directory === undefined) {
      throw new BuildError("solver/copy-failed", `Cannot copy to ${shown(join(parent, name))}: it is not a directory`, {
        hint: "the source has a directory of this name; remove the file or symlink first",
      });
    }
    const directory = existing?.directory ?? this.#destination.makeDirectory(parent, name, metadata);
    if (existing !== undefined) this.#destination.changeDirectory(directory, metadata);
    if (node.hasXattrs) copyXattrs(this.#view, node, this.#destination, directory.path);
    return directory;
  }
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
