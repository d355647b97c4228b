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
  /** Of the active snapshot, topmost first: writes go to the first. */
  readonly directories: readonly string[];
  readonly marks: Marks;
  /** What input `index` of the op shows; asked for copy actions only. The caller owns the views. */
  source(index: number): SourceView | Promise<SourceView>;
  /** What action `index` was found to select when its key was made; without it the source is searched again. */
  selected(action: number): Found | undefined;
  /** Told of what the op does that hardly anybody means. */
  readonly warn?: ((message: string, hint: string) => void) | undefined;
  /** An earlier result of an op with one copy, by the directory that the copy goes to. */
  readonly earlier?: ((target: string) => EarlierCopy | undefined) | undefined;
}

/** A selection, as far as a copy needs it: without contents nobody asks what was copied. */
export type Found = Selection | (Pick<Selection, "matches"> & { readonly contents?: undefined });

/** A copy of files that have changed since they were selected. */
export interface ChangedCopy {
  readonly actual: Selection;
  readonly changed: readonly TreeNode[];
}

const SECOND_NS = 1_000_000_000n;

/**
 * Does the actions of a file operation in order, all into the active snapshot's topmost directory, without a mount.
 * @returns what each copy holds, by the index of its action, where that is not what was selected for it: files of the
 *   client may change until they are copied
 * @throws {BuildError} `solver/copy-failed`, `solver/not-found`, `context/unreadable`, `dockerfile/copy`
 */
export async function runFileOp(
  op: FileOp,
  at: FileOpInputs,
  on: { readonly native: Native },
  signal: AbortSignal,
): Promise<ReadonlyMap<number, ChangedCopy>> {
  using tree = new MergedTree({ native: on.native, directories: at.directories, marks: at.marks });
  const below = op.way === undefined ? undefined : (await at.source(op.way.input)).tree;
  const destination = new Destination(tree, below && { tree: below, covers: covering(at.warn, below) });
  // Beside the directory that is written: part of the active snapshot, so that nothing is left of it after a crash.
  const staging = `${at.directories[0] ?? ""}.unpacking`;
  const copies = new Map<number, ChangedCopy>();
  const lost = new LostFiles();
  const unknown = new UnknownOwners();
  for (const [index, action] of op.actions.entries()) {
    signal.throwIfAborted();
    switch (action.kind) {
      case "copy": {
        const source = await at.source(action.input);
        const found = at.selected(index);
        const copied =
          found?.contents === undefined || source.owners !== "root" ? undefined : new CopiedContents(found);
        await copy(action, { destination, source, found, copied, staging, earlier: at.earlier, lost, unknown }, signal);
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
  lost.tell(at.warn);
  unknown.tell(at.warn);
  return copies;
}

async function copy(
  action: CopyAction,
  at: {
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
  const { destination, source, found, copied } = at;
  const settings = settingsOf(action, destination.tree, source, at.unknown);
  const kept = found?.contents?.kept;
  for (const match of found?.matches ?? (await findMatches(source, copySelector(action), signal))) {
    const to = {
      destination,
      path: action.destination,
      staging: at.staging,
      earlier: at.earlier,
      kept,
      copied,
      lost: at.lost,
    };
    const { unpack } = action;
    if (unpack !== "never" && (await unpackMatch(source, match, to, { ...settings, unpack }, signal))) continue;
    await copyMatch(source, match, to, settings, signal);
  }
}

/** Symlinks on the way are followed, the last one too. What exists is left as it is. */
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

/** Parents' symlinks are followed; a final one is removed itself. */
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

/** Names of users and groups are those of the tree that is copied to. */
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

/** Tells once for each path that a linked copy covers what the layers below have there. */
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
