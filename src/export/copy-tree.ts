import { constants, lstatSync, lutimesSync, readlinkSync, symlinkSync } from "node:fs";
import { chmod, copyFile, link, lstat, mkdir, readdir, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { mapLimit } from "../core/limits.ts";

const FILES_AT_ONCE = 16;

export interface CopyTreeOptions {
  /** For everything written, instead of the source's own times. */
  readonly mtimeSeconds: number | undefined;
  /** Told of each path that is not a directory, relative to the root, before it is written. */
  readonly onFile: (path: string) => void;
}

/**
 * Copies a directory's contents into another that may have some already. What is in the way of a file is replaced,
 * symlinks at the destination are never followed, and nothing else there is touched. Devices and sockets are left out.
 */
export async function copyTree(from: string, to: string, options: CopyTreeOptions, signal: AbortSignal): Promise<void> {
  const linked = new Map<string, string>();
  await copyInto("", { from, to, options, linked }, signal);
}

interface Copying {
  readonly from: string;
  readonly to: string;
  readonly options: CopyTreeOptions;
  /** First destination of every file with several names, by device and inode. */
  readonly linked: Map<string, string>;
}

async function copyInto(folder: string, at: Copying, signal: AbortSignal): Promise<void> {
  const entries = await readdir(join(at.from, folder), { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const directories = entries.filter((entry) => entry.isDirectory());
  await mapLimit(
    entries.filter((entry) => entry.isFile() || entry.isSymbolicLink()),
    FILES_AT_ONCE,
    signal,
    (entry) => copyOne(join(folder, entry.name), at),
  );
  for (const directory of directories) {
    const path = join(folder, directory.name);
    const target = join(at.to, path);
    if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory() !== true) {
      await rm(target, { force: true });
      await mkdir(target);
    }
    await copyInto(path, at, signal);
    const source = await lstat(join(at.from, path));
    await chmod(target, source.mode & 0o7777);
    await utimes(target, source.atime, at.options.mtimeSeconds ?? source.mtime);
  }
}

async function copyOne(path: string, at: Copying): Promise<void> {
  at.options.onFile(path);
  const source = join(at.from, path);
  const target = join(at.to, path);
  const status = await lstat(source);
  await rm(target, { recursive: true, force: true });
  const mtime = at.options.mtimeSeconds ?? status.mtime;
  if (status.isSymbolicLink()) {
    symlinkSync(readlinkSync(source), target);
    lutimesSync(target, status.atime, mtime);
    return;
  }
  const key = `${status.dev}:${status.ino}`;
  const first = status.nlink > 1 ? at.linked.get(key) : undefined;
  if (first !== undefined) {
    await link(first, target);
    return;
  }
  await copyFile(source, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
  await chmod(target, status.mode & 0o7777);
  await utimes(target, status.atime, mtime);
  if (status.nlink > 1) at.linked.set(key, target);
}
