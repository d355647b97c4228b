import { writeSync } from "node:fs";
import { BuildError, unreachable } from "../../../lib/core/errors.ts";
import { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY, S_IFLNK, S_IFMT, S_IFREG } from "../../../lib/native/constants.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { Native } from "../../../lib/native/native.ts";
import { wholeSecond } from "../../../lib/tar/entry.ts";
import type { CopyAction, FileOp, MkdirAction, MkfileAction, Owner, RmAction } from "../../graph/op.ts";
import { copySelector } from "../../select/selector.ts";
import { findMatches, type Selection } from "../../select/select.ts";
import type { Marks } from "../../../lib/tree/overlay-marks.ts";
import { MergedTree } from "../../../lib/tree/merged-tree.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { copyMatch, type CopySettings, copySettings } from "./copy.ts";
import { CopiedContents } from "./copied-contents.ts";
import type { EarlierCopy } from "./file-batch.ts";
import { type Below, Destination, shown } from "./destination.ts";
import { LostFiles } from "./lost-files.ts";
import { type Ids, MAX_ACCOUNTS_BYTES, needsLookup, resolveOwner, UnknownOwners } from "./owner.ts";
import { unpackMatch } from "./unpack.ts";

export interface FileOpInputs {
  /** Directories of the active snapshot, topmost first: writes go to the first. */
  readonly directories: readonly string[];
  readonly marks: Marks;
  /** Returns the view of input `index`; called for copy actions only. The caller owns the views. */
  source(index: number): SourceView | Promise<SourceView>;
  /** Returns the selection of action `index` from the making of its key; without one the source is searched again. */
  selected(action: number): Found | undefined;
  /** Receives effects of the op that are probably unintended. */
  readonly warn?: ((message: string, hint: string) => void) | undefined;
  /** Returns an earlier result of an op with one copy, by the directory that the copy goes to. */
  readonly earlier?: ((target: string) => EarlierCopy | undefined) | undefined;
}

/** A selection, as far as a copy needs it. Without contents, the copied content is not compared. */
export type Found = Selection | (Pick<Selection, "matches"> & { readonly contents?: undefined });

/** A copy of files that have changed since they were selected. */
export interface ChangedCopy {
  readonly actual: Selection;
  readonly changed: readonly TreeNode[];
}

const SECOND_NS = 1_000_000_000n;

/**
 * Applies a file operation's actions in order, all into the active snapshot's topmost directory, without a mount.
 * @returns the content of each copy, by the index of its action, where it differs from the selection: files of the
 * client may change until they are copied
 * @throws {BuildError} `solver/copy-failed`, `solver/not-found`, `context/unreadable`, `dockerfile/copy`
 */
export async function runFileOp(
  op: FileOp,
  inputs: FileOpInputs,
  deps: { readonly native: Native },
  signal: AbortSignal,
): Promise<ReadonlyMap<number, ChangedCopy>> {
  using tree = new MergedTree({ native: deps.native, directories: inputs.directories, marks: inputs.marks });
  const below = op.way === undefined ? undefined : (await inputs.source(op.way.input)).tree;
  const destination = new Destination(tree, below && { tree: below, covers: covering(inputs.warn, below) });
  // Beside the written directory: part of the active snapshot, so that a crash leaves nothing of it.
  const staging = `${inputs.directories[0] ?? ""}.unpacking`;
  const copies = new Map<number, ChangedCopy>();
  const lost = new LostFiles();
  const unknown = new UnknownOwners();
  for (const [index, action] of op.actions.entries()) {
    signal.throwIfAborted();
    switch (action.kind) {
      case "copy": {
        const source = await inputs.source(action.input);
        const found = inputs.selected(index);
        const copied =
          found?.contents === undefined || source.owners !== "root" ? undefined : new CopiedContents(found);
        await copy(
          action,
          { destination, source, found, copied, staging, earlier: inputs.earlier, lost, unknown },
          signal,
        );
        const actual = copied?.actual();
        if (copied !== undefined && actual !== undefined) copies.set(index, { actual, changed: copied.changed });
        break;
      }
      case "mkdir":
        makeDirectory(action, destination, unknown);
        break;
      case "mkfile":
        makeFile(action, destination, unknown);
        break;
      case "rm":
        remove(action, destination);
        break;
      default:
        unreachable(action);
    }
  }
  destination.finish();
  lost.tell(inputs.warn);
  unknown.tell(inputs.warn);
  return copies;
}

async function copy(
  action: CopyAction,
  copying: {
    readonly destination: Destination;
    readonly source: SourceView;
    readonly found: Found | undefined;
    readonly copied: CopiedContents | undefined;
    readonly staging: string;
    readonly earlier: FileOpInputs["earlier"];
    readonly lost: LostFiles;
    readonly unknown: UnknownOwners;
  },
  signal: AbortSignal,
): Promise<void> {
  const { destination, source, found, copied } = copying;
  const settings = settingsOf(action, destination.tree, source, copying.unknown);
  const kept = found?.contents?.kept;
  for (const match of found?.matches ?? (await findMatches(source, copySelector(action), signal))) {
    const to = {
      destination,
      path: action.destination,
      staging: copying.staging,
      earlier: copying.earlier,
      kept,
      copied,
      lost: copying.lost,
    };
    const { unpack } = action;
    if (unpack !== "never" && (await unpackMatch(source, match, to, { ...settings, unpack }, signal))) continue;
    await copyMatch(source, match, to, settings, signal);
  }
}

/** Makes a directory. Symlinks on the way are followed, the last one too. An existing one stays as it is. */
function makeDirectory(action: MkdirAction, destination: Destination, unknown: UnknownOwners): void {
  const { parent, entry, missing } = destination.tree.resolve(action.path, "follow");
  if (missing.length === 0) {
    if (entry !== undefined && entry.directory === undefined) {
      throw new BuildError(
        "solver/copy-failed",
        `Cannot make the directory ${shown(action.path.replace(/^\/+/, ""))}: a file has its name`,
      );
    }
    return;
  }
  destination.makeParents(parent, missing, {
    mode: action.mode & 0o777,
    owner: ownerOf(action.owner, destination.tree, unknown),
    mtimeNs: timeOf(action.timestamp),
  });
}

function makeFile(action: MkfileAction, destination: Destination, unknown: UnknownOwners): void {
  const { native } = destination;
  const { parent, entry, missing } = destination.tree.resolve(action.path, "follow");
  const name = missing[0] ?? entry?.name;
  if (name === undefined || missing.length > 1 || entry?.directory !== undefined) {
    throw new BuildError(
      "solver/copy-failed",
      `Cannot write ${shown(action.path.replace(/^\/+/, ""))}: its directory does not exist, or it is one`,
    );
  }
  const { uid, gid } = ownerOf(action.owner, destination.tree, unknown) ?? { uid: 0, gid: 0 };
  const mtimeNs = timeOf(action.timestamp);
  const mode = action.mode & 0o777;
  const dirfd = destination.claim(parent, name);
  const fd = native.openat2(dirfd, name, { flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600 });
  try {
    const bytes = Buffer.from(action.text);
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
    native.fchownat(fd, "", uid, gid);
    native.fchmodat(fd, "", mode);
    native.utimensat(fd, "", mtimeNs ?? wholeSecond(native.statat(fd, "").mtimeNs));
  } finally {
    native.close(fd);
  }
  destination.noteFile(parent, name, S_IFREG, { mode, uid, gid, mtimeNs });
}

/** Removes a path. Parents' symlinks are followed; a final one is removed itself. */
function remove(action: RmAction, destination: Destination): void {
  const { parent, entry, missing } = destination.tree.resolve(action.path, "keep");
  if (missing.length > 0) {
    if (action.missing === "ignore") return;
    throw new BuildError(
      "solver/not-found",
      `Cannot remove ${shown(action.path.replace(/^\/+/, ""))}: it does not exist`,
    );
  }
  if (entry === undefined) throw new BuildError("solver/copy-failed", "Cannot remove the root directory");
  destination.remove(parent, entry);
}

/** Resolves the settings. Names of users and groups are looked up in the destination's tree. */
export function settingsOf(
  action: CopyAction,
  tree: MergedTree,
  source: SourceView,
  unknown: UnknownOwners,
): CopySettings {
  return copySettings(action, ownerOf(action.owner, tree, unknown), source);
}

function ownerOf(owner: Owner | undefined, tree: MergedTree, unknown: UnknownOwners): Ids | undefined {
  if (owner === undefined) return undefined;
  const read = (path: string): string | undefined => tree.readFile(path, MAX_ACCOUNTS_BYTES)?.toString();
  const needs = needsLookup(owner);
  const files = {
    passwd: () => (needs.passwd ? read("etc/passwd") : undefined),
    group: () => (needs.group ? read("etc/group") : undefined),
  };
  return resolveOwner(owner, files, unknown);
}

function timeOf(timestamp: number | undefined): bigint | undefined {
  return timestamp === undefined ? undefined : BigInt(timestamp) * SECOND_NS;
}

/** Warns once for each path of the layers below that a linked copy covers. */
function covering(warn: FileOpInputs["warn"], below: MergedTree): Below["covers"] {
  return (path, entry) => {
    const isLink = (entry.status.mode & S_IFMT) === S_IFLNK;
    const parent = below.resolve(path, "keep").parent;
    const was = isLink
      ? `a link to ${JSON.stringify(printableName(below.readLink(parent, entry)))}`
      : entry.directory === undefined
        ? "a file"
        : "a directory";
    warn?.(
      `${shown(path)} is ${was} in the layers below, and what --link copies takes its place`,
      isLink
        ? "name the directory that it leads to, or leave --link away"
        : "leave --link away, or choose another destination",
    );
  };
}
