import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { mapLimit } from "../../lib/core/limits.ts";
import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";

/** Directories read at the same time; the thread pool has four threads. */
const LANES = 4;

/**
 * Bytes on disk below and including `directory`, as `du` counts them: blocks, a file with several links once.
 * Names are read as bytes, because a layer may hold names that are not UTF-8.
 */
export async function diskUsage(directory: string, signal: AbortSignal): Promise<number> {
  const linked = new Set<string>();
  let bytes = 0;
  const count = (stats: Stats): void => {
    if (stats.nlink > 1 && !stats.isDirectory()) {
      const inode = `${stats.dev}:${stats.ino}`;
      if (linked.has(inode)) return;
      linked.add(inode);
    }
    bytes += stats.blocks * 512;
  };
  count(await lstat(directory));
  let level: Buffer[] = [Buffer.from(directory)];
  while (level.length > 0) {
    const found = await mapLimit(level, LANES, signal, async (parent) => {
      const below: Buffer[] = [];
      for (const entry of await readdir(parent, { withFileTypes: true, encoding: "buffer" })) {
        const path = Buffer.concat([parent, SLASH, entry.name]);
        count(await lstat(path));
        if (entry.isDirectory()) below.push(path);
      }
      return below;
    });
    level = found.flat();
  }
  return bytes;
}

/** The same in one call to the addon. */
export async function scannedUsage(native: Native, directory: string): Promise<number> {
  const fd = native.openPath(directory, O_PATH | O_DIRECTORY);
  try {
    const { columns, count } = await native.scanTree(fd);
    const linked = new Set<bigint>();
    let bytes = 0;
    for (let row = 0; row < count; row += 1) {
      const isDirectory = ((columns.mode[row] ?? 0) & S_IFMT) === S_IFDIR;
      if (!isDirectory && (columns.nlink[row] ?? 1) > 1) {
        const ino = columns.ino[row] ?? 0n;
        if (linked.has(ino)) continue;
        linked.add(ino);
      }
      bytes += columns.diskBytes[row] ?? 0;
    }
    return bytes;
  } finally {
    native.close(fd);
  }
}

const SLASH = Buffer.from("/");
