import { constants, lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../core/errors.ts";
import type { Native } from "../native/native.ts";

export type ScanCalls = Pick<Native, "openPath" | "close" | "scanTree" | "removeTree">;

/** A measurement of disk space as `du` does it: in blocks, counting a file with several names only once. */
export class DiskMeter {
  readonly #calls: ScanCalls;
  /** `dev:ino` of files with several names. */
  readonly #seen = new Set<string>();

  constructor(calls: ScanCalls) {
    this.#calls = calls;
  }

  /** Measures a file or a whole tree; a missing path has 0 bytes. Symlinks are not followed. */
  async bytesOf(path: string, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const stat = entryAt(path);
    if (stat === undefined) return 0;
    if (!stat.isDirectory()) return this.#isNew(stat.nlink, stat.dev, stat.ino) ? stat.blocks * 512 : 0;
    const fd = this.#calls.openPath(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      const { columns, count } = await this.#calls.scanTree(fd);
      let total = 0;
      for (let index = 0; index < count; index += 1) {
        const isDirectory = ((columns.mode[index] ?? 0) & constants.S_IFMT) === constants.S_IFDIR;
        const nlink = isDirectory ? 1 : (columns.nlink[index] ?? 1);
        if (this.#isNew(nlink, columns.dev[index] ?? 0, Number(columns.ino[index] ?? 0n))) {
          total += columns.diskBytes[index] ?? 0;
        }
      }
      return total;
    } finally {
      this.#calls.close(fd);
    }
  }

  #isNew(nlink: number, dev: number, ino: number): boolean {
    if (nlink < 2) return true;
    const key = `${dev}:${ino}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }
}

export interface DirectoryEntry {
  readonly name: string;
  readonly path: string;
  /** Last change of the entry itself, renames included, in the file system's time. No program can set it back. */
  readonly changedMs: number;
  readonly diskBytes: number;
}

/** Lists a directory of the store, without entries that vanish meanwhile. */
export function entriesOf(directory: string): readonly DirectoryEntry[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return names.toSorted().flatMap((name) => {
    const path = join(directory, name);
    const stat = entryAt(path);
    return stat === undefined ? [] : [{ name, path, changedMs: stat.ctimeMs, diskBytes: stat.blocks * 512 }];
  });
}

function entryAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
