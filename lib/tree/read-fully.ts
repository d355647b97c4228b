import { readSync } from "node:fs";

/** Reads the first `sizeBytes` bytes of an open file from its position on; fewer when it ends sooner. */
export function readFully(fd: number, sizeBytes: number): Buffer {
  const into = Buffer.allocUnsafe(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const got = readSync(fd, into, done, sizeBytes - done, null);
    if (got === 0) break;
    done += got;
  }
  return into.subarray(0, done);
}
