import { createHash } from "node:crypto";
import { type Digest, digestOf } from "../../lib/core/digest.ts";
import { contentTime, type LayerRuns } from "../../lib/core/run-interval.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../../lib/native/constants.ts";
import { isCarriedAttribute, isSeenAttribute } from "../../lib/tree/carried-attributes.ts";
import type { FileContents, SourceView } from "../../lib/tree/source-view.ts";
import type { TreeNode } from "../../lib/tree/tree-node.ts";

/** Letters of file types as in `ls -l`; `f` for a regular file. */
export const LETTERS: ReadonlyMap<number, string> = new Map([
  [S_IFREG, "f"],
  [S_IFDIR, "d"],
  [S_IFLNK, "l"],
  [S_IFCHR, "c"],
  [S_IFBLK, "b"],
  [S_IFIFO, "p"],
  [S_IFSOCK, "s"],
]);

/** The line for a directory that is copied by its contents: its existence counts, its own mode and owner do not. */
export const CONTENTS = "./\td\n";

/** The purpose of a listing: files to be copied, or to be seen where they are. */
export type Purpose = "copy" | "see";

/** Prefix of a time, the last column of a line. */
const TIME = "@";

/** A selected file, under its path relative to the destination. */
export interface ListedFile {
  readonly path: string;
  readonly node: TreeNode;
}

/**
 * Lists files, one per line: path, type, octal mode, uid, gid, size, then the content's digest, the link's target or
 * the device, then a digest of the extended attributes when there are any, and the time when it counts, which it never
 * does in a context; tabs between. It contains everything that decides the result of a copy; for `see`, everything that
 * a command can look at. Equal text means equal files on every machine.
 * @param scope.root the directory that all paths but that of `CONTENTS` are relative to, if they are
 * @param scope.tops the directories that `CONTENTS` stands for, in order
 */
export async function listFiles(
  view: SourceView,
  files: readonly (ListedFile | typeof CONTENTS)[],
  scope: { readonly root: TreeNode | undefined; readonly tops: readonly TreeNode[]; readonly purpose: Purpose },
  signal: AbortSignal,
): Promise<Listing> {
  const { root, tops, purpose } = scope;
  const regular = files.flatMap((file) => (file !== CONTENTS && file.node.type === S_IFREG ? [file.node] : []));
  const contents = await view.digests(view.tree, regular, signal);
  const { digests } = contents;
  const text =
    (root === undefined ? undefined : listPlain(view, files, root, digests)) ?? list(view, files, digests, purpose);
  return { text: view.runsOf === undefined ? text : withTimes(view.runsOf, files, tops, text), contents };
}

export interface Listing {
  readonly text: string;
  /** Digests of the regular files, in their order. */
  readonly contents: FileContents;
}

/** Lists plain files with the addon. */
function listPlain(
  view: SourceView,
  files: readonly (ListedFile | typeof CONTENTS)[],
  root: TreeNode,
  digests: Buffer,
): string | undefined {
  const [first] = files;
  const below = first === CONTENTS ? files.slice(1) : files;
  const rows = new Int32Array(below.length);
  for (const [at, file] of below.entries()) {
    if (file === CONTENTS || file.node.layer !== root.layer) return undefined;
    rows[at] = file.node.index;
  }
  const { columns } = root.layer.scan;
  const lines = view.tree.native.listRows({ columns, rows, top: root.index, digests, owners: view.owners });
  return lines === undefined || first !== CONTENTS ? lines : CONTENTS + lines;
}

function list(
  view: SourceView,
  files: readonly (ListedFile | typeof CONTENTS)[],
  digests: Buffer,
  purpose: Purpose,
): string {
  const lines: string[] = [];
  let next = 0;
  for (const file of files) {
    if (file === CONTENTS) {
      lines.push(CONTENTS);
      continue;
    }
    const { path, node } = file;
    const isRegular = node.type === S_IFREG;
    const subject = isRegular ? `sha256:${digests.toString("hex", next * 32, ++next * 32)}` : subjectOf(node);
    const xattrs = node.hasXattrs ? xattrDigest(view, node, purpose) : "";
    lines.push(`${fileLine(view, path, node, isRegular ? node.sizeBytes : 0)}${subject}${xattrs}\n`);
  }
  return lines.join("");
}

/** Adds the times that count: a copy keeps them, and a mount shows them. */
function withTimes(
  runsOf: (layer: number) => LayerRuns,
  files: readonly (ListedFile | typeof CONTENTS)[],
  tops: readonly TreeNode[],
  text: string,
): string {
  const lines = text.split("\n");
  let next = 0;
  for (const [at, file] of files.entries()) {
    const node = file === CONTENTS ? tops[next++] : file.node;
    const time = node === undefined ? "-" : contentTime(node.mtimeNs, runsOf(node.layer.layer));
    if (time !== "-") lines[at] += `\t${TIME}${time}`;
  }
  return lines.join("\n");
}

export function digestOfListing(listing: string): Digest {
  return digestOf(listing);
}

/** Escapes a path for a listing: printable ASCII and well-formed Unicode stay, the rest is escaped. */
export function escapePath(path: string): string {
  return NEEDS_ESCAPE.test(path) ? path.replaceAll(ESCAPED, escapeUnit) : path;
}

// Control characters would break lines and columns, a backslash would look like an escape, and lone surrogates, which
// stand for bytes that are not UTF-8, cannot be written as text.
// oxlint-disable-next-line no-control-regex
const NEEDS_ESCAPE = /[\u0000-\u001f\u007f\\\ud800-\udfff]/;
// oxlint-disable-next-line no-control-regex
const ESCAPED = /[\u0000-\u001f\u007f\\]|\p{Surrogate}/gu;

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Writes a file's line except for its last columns. */
function fileLine(view: SourceView, path: string, node: TreeNode, sizeBytes: number): string {
  const isRoot = view.owners === "root";
  const uid = isRoot ? 0 : node.uid;
  const gid = isRoot ? 0 : node.gid;
  const letter = LETTERS.get(node.type) ?? "?";
  return `${escapePath(path)}\t${letter}\t${modeText(node)}\t${uid}\t${gid}\t${sizeBytes}\t`;
}

/** Writes a mode. A symlink's is always 0777, whatever a file system reports. */
function modeText(node: TreeNode): string {
  const { mode } = node;
  if (mode === 0o100644) return "0644";
  return (node.type === S_IFLNK ? 0o777 : mode & 0o7777).toString(8).padStart(4, "0");
}

function subjectOf(node: TreeNode): string {
  if (node.type === S_IFLNK) return escapePath(node.linkTarget);
  if (node.type !== S_IFCHR && node.type !== S_IFBLK) return "-";
  const { major, minor } = node.device;
  return `${major}:${minor}`;
}

function xattrDigest(view: SourceView, node: TreeNode, purpose: Purpose): string {
  const { owners } = view;
  const { native } = view.tree;
  const fd = view.tree.layerFd(node.layer.layer);
  const path = node.layerPath;
  const counts = purpose === "see" ? isSeenAttribute : (name: string) => isCarriedAttribute(name, owners);
  const names = native.listXattrs(fd, path).filter(counts).toSorted();
  if (names.length === 0) return "";
  const digest = createHash("sha256");
  for (const name of names) {
    const value = native.getXattr(fd, path, name) ?? Buffer.alloc(0);
    digest.update(`${name}\0${value.length}\0`).update(value);
  }
  return `\txattrs=${digest.digest("hex")}`;
}
