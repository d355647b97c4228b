import { lstatSync } from "node:fs";
import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import { encodeName } from "../../lib/native/names.ts";
import type { Native } from "../../lib/native/native.ts";

/** A file at one moment. Inode and change time, which no program can set, tell whether it is still the same. */
export interface FileState {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly device: { readonly major: number; readonly minor: number };
}

/** The files of a tree by path, a directory before its content. The root is the empty path. */
export type TreeState = ReadonlyMap<string, FileState>;

export function readTreeState(native: Native, root: string): TreeState {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    const scan = native.scanTreeSync(fd);
    const { columns } = scan;
    const state = new Map<string, FileState>();
    for (let row = 0; row < scan.count; row += 1) {
      state.set(row === 0 ? "" : scan.path(row), {
        mode: columns.mode[row] ?? 0,
        uid: columns.uid[row] ?? 0,
        gid: columns.gid[row] ?? 0,
        size: columns.size[row] ?? 0,
        nlink: columns.nlink[row] ?? 1,
        mtimeNs: columns.mtimeNs[row] ?? 0n,
        ctimeNs: columns.ctimeNs[row] ?? 0n,
        ino: columns.ino[row] ?? 0n,
        device: { major: columns.rdevMajor[row] ?? 0, minor: columns.rdevMinor[row] ?? 0 },
      });
    }
    return state;
  } finally {
    native.close(fd);
  }
}

export function isDirectoryState({ mode }: FileState): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

/** Returns the time when a file was created, in nanoseconds since 1970; 0 where the file system does not record it. */
export function birthTimeNs(root: string, path: string): bigint {
  const name = Buffer.concat([Buffer.from(`${root}/`), encodeName(path)]);
  return lstatSync(name, { bigint: true }).birthtimeNs;
}

/** Returns the latest change time in a tree. */
export function latestChangeNs(state: TreeState): bigint {
  let latestNs = 0n;
  for (const { ctimeNs } of state.values()) if (ctimeNs > latestNs) latestNs = ctimeNs;
  return latestNs;
}
