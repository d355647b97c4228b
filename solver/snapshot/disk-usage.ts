import { O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from "../../lib/native/constants.ts";
import type { Native } from "../../lib/native/native.ts";

/** Counts the bytes on disk below and including `directory` as `du` does: in blocks, a file with several links once. */
export async function diskUsage(native: Native, directory: string): Promise<number> {
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
