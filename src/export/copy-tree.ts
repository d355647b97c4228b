import { lstatSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";
import {
  O_DIRECTORY,
  O_RDONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from "../../lib/native/constants.ts";
import { SystemError } from "../../lib/native/errno.ts";
import type { Native } from "../../lib/native/native.ts";
import type { TreeScan } from "../../lib/native/scan.ts";

const FILES_AT_ONCE = 128;
const SECOND_NS = 1_000_000_000n;

export interface CopyTreeOptions {
  readonly native: Native;
  /** Time of everything written, instead of the source's own times. */
  readonly mtimeSeconds: number | undefined;
  /**
   * Copies files, directories and links only, without setuid and setgid bits: a fifo would block its reader, and a
   * program that changed its owner would lend the new one's rights to everybody.
   */
  readonly isPlain?: boolean | undefined;
}

/** Paths of a copy, relative to the destination. */
export interface CopiedTree {
  /** Paths that the copy made. */
  readonly written: readonly string[];
  /** Devices that this user may not make. */
  readonly leftOut: readonly string[];
}

/**
 * Copies a directory's contents into another, possibly not empty one, as the current user. Conflicting files are
 * replaced, symlinks at the destination are never followed, and other files there stay untouched. Sockets are left out,
 * and devices where this user may not make them.
 */
export async function copyTree(
  from: string,
  to: string,
  { native, mtimeSeconds, isPlain = false }: CopyTreeOptions,
  signal: AbortSignal,
): Promise<CopiedTree> {
  using source = openDirectory(native, from);
  using target = openDirectory(native, to);
  const scan = await native.scanTree(source.fd, { links: true });
  const { mode, mtimeNs, nlink, dev, ino, rdevMajor, rdevMinor } = scan.columns;
  const permissionsOf = (index: number): number => (mode[index] ?? 0) & (isPlain ? 0o1777 : 0o7777);
  const timeOf = (index: number): bigint =>
    mtimeSeconds === undefined ? (mtimeNs[index] ?? 0n) : BigInt(mtimeSeconds) * SECOND_NS;
  const directories: number[] = [];
  const files: number[] = [];
  const written: string[] = [];
  const leftOut: string[] = [];
  /** First name of every file with several names, by device and inode. */
  const firsts = new Map<string, string>();
  const links: { readonly first: string; readonly path: string }[] = [];
  for (let index = 1; index < scan.count; index += 1) {
    const path = scan.path(index);
    const type = (mode[index] ?? 0) & S_IFMT;
    if (type === S_IFDIR) {
      ensureDirectory(native, target.fd, path);
      directories.push(index);
    } else if (type === S_IFREG) {
      makeWay(native, target.fd, path);
      const id = `${dev[index]}:${ino[index]}`;
      const first = (nlink[index] ?? 1) > 1 ? firsts.get(id) : undefined;
      if (first === undefined) files.push(index);
      else links.push({ first, path });
      firsts.set(id, first ?? path);
    } else if (type === S_IFLNK) {
      makeWay(native, target.fd, path);
      native.symlinkat(scan.linkTarget(index), target.fd, path);
      native.utimensat(target.fd, path, timeOf(index));
    } else if (!isPlain && (type === S_IFIFO || type === S_IFCHR || type === S_IFBLK)) {
      makeWay(native, target.fd, path);
      const device = { major: rdevMajor[index] ?? 0, minor: rdevMinor[index] ?? 0 };
      if (!makeNode(native, { target: target.fd, to, path, type, device })) {
        leftOut.push(path);
        continue;
      }
      native.chmodOutside(target.fd, path, permissionsOf(index));
      native.utimensat(target.fd, path, timeOf(index));
    } else continue;
    written.push(path);
  }
  await copyFiles(native, { source: source.fd, target: target.fd, scan, files, permissionsOf, timeOf }, signal);
  for (const { first, path } of links) native.linkat(target.fd, first, target.fd, path);
  // From the bottom up, after all writes into them.
  for (const index of directories.toReversed()) {
    const path = scan.path(index);
    native.chmodOutside(target.fd, path, permissionsOf(index));
    native.utimensat(target.fd, path, timeOf(index));
  }
  return { written, leftOut };
}

/** Makes a fifo or a device; false where only root may. Placeholders for devices are for kiln's own store only. */
function makeNode(
  native: Native,
  node: {
    readonly target: number;
    readonly to: string;
    readonly path: string;
    readonly type: number;
    readonly device: { readonly major: number; readonly minor: number };
  },
): boolean {
  const { target, path, type } = node;
  try {
    native.mknodat(target, path, type | 0o600, type === S_IFIFO ? undefined : node.device);
  } catch (error) {
    if (errnoOf(error) !== "EPERM" || type === S_IFIFO) throw error;
    return false;
  }
  if (type === S_IFIFO || !lstatSync(join(node.to, path)).isFile()) return true;
  native.unlinkat(target, path);
  return false;
}

/** Removes everything from a directory but the paths in `kept`, as `copyTree` names them. */
export async function removeOthers(directory: string, kept: ReadonlySet<string>, native: Native): Promise<void> {
  using target = openDirectory(native, directory);
  const scan = await native.scanTree(target.fd);
  for (let index = 1; index < scan.count; index += 1) {
    const path = scan.path(index);
    // A removed directory takes its content with it.
    const parent = scan.columns.parent[index] ?? 0;
    if (kept.has(path) || (parent > 0 && !kept.has(scan.path(parent)))) continue;
    await native.removeTree(target.fd, path);
  }
}

/** Lists the paths of everything but directories. */
export async function filesIn(directory: string, native: Native): Promise<readonly string[]> {
  using tree = openDirectory(native, directory);
  const scan = await native.scanTree(tree.fd);
  const { mode } = scan.columns;
  return Array.from({ length: scan.count }, (_, index) => index)
    .filter((index) => ((mode[index] ?? 0) & S_IFMT) !== S_IFDIR)
    .map((index) => scan.path(index));
}

interface Copying {
  readonly source: number;
  readonly target: number;
  readonly scan: TreeScan;
  readonly files: readonly number[];
  readonly permissionsOf: (index: number) => number;
  readonly timeOf: (index: number) => bigint;
}

async function copyFiles(
  native: Native,
  { source, target, scan, files, permissionsOf, timeOf }: Copying,
  signal: AbortSignal,
): Promise<void> {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  for (let at = 0; at < files.length; at += FILES_AT_ONCE) {
    signal.throwIfAborted();
    const batch = files.slice(at, at + FILES_AT_ONCE);
    const paths = batch.map((index) => scan.path(index));
    const results = await native.copyFiles(source, target, {
      from: paths,
      to: paths,
      modes: Uint32Array.from(batch, permissionsOf),
      uids: new Uint32Array(batch.length).fill(uid),
      gids: new Uint32Array(batch.length).fill(gid),
      mtimesNs: BigInt64Array.from(batch, timeOf),
      isOutside: true,
    });
    for (const [position, result] of results.entries()) {
      if (result < 0) throw new SystemError(result, "copy", paths[position], paths[position]);
    }
  }
}

function ensureDirectory(native: Native, target: number, path: string): void {
  const there = native.tryStatat(target, path);
  if (there !== undefined && (there.mode & S_IFMT) === S_IFDIR) {
    // The directory may not be writable as it is.
    native.chmodOutside(target, path, 0o700);
    return;
  }
  if (there !== undefined) native.unlinkat(target, path);
  native.mkdirat(target, path, 0o700);
}

function makeWay(native: Native, target: number, path: string): void {
  const there = native.tryStatat(target, path);
  if (there === undefined) return;
  if ((there.mode & S_IFMT) === S_IFDIR) native.removeTreeSync(target, path);
  else native.unlinkat(target, path);
}

function openDirectory(native: Native, path: string): { readonly fd: number } & Disposable {
  const fd = native.openPath(path, O_RDONLY | O_DIRECTORY);
  return { fd, [Symbol.dispose]: () => native.close(fd) };
}
