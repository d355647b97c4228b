import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { mapLimit } from "../../src/core/limits.ts";

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

const SLASH = Buffer.from("/");
