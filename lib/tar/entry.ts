/** The type of a tar member. `link` is a hard link; `file` covers contiguous and old-style regular files too. */
export type EntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

/**
 * One member of a tar, unchanged: nothing is clamped, rounded or replaced. Paths and link targets may hold bytes that
 * are not UTF-8, in the form of lib/native/names.ts.
 */
export interface TarEntry {
  /** Path as in the archive, without the `/` that ends a directory's name. */
  readonly path: string;
  readonly type: EntryType;
  /** Permissions with the setuid, setgid and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for everything but files. */
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** Target of a link or symlink, otherwise empty. */
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** `security.capability` and the like, values byte for byte. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

/** Length of a header block and of the unit that contents are padded to. POSIX ustar. */
export const BLOCK = 512;

/** Returns the number of zero bytes after `size` bytes of content. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** Returns the last whole second of a time, as a layer's tar holds it. Nanoseconds since 1970. */
export function wholeSecond(ns: bigint): bigint {
  const over = ns % 1_000_000_000n;
  return over < 0n ? ns - over - 1_000_000_000n : ns - over;
}

/** Converts nanoseconds to whole seconds, rounded down, as Go's Truncate does before 1970 too. */
export function floorSeconds(ns: bigint): number {
  const seconds = ns / 1_000_000_000n;
  return Number(ns % 1_000_000_000n < 0n ? seconds - 1n : seconds);
}
