import type { LayerRuns } from "../core/run-interval.ts";
import type { ScanColumns, TreeScan } from "./scan.ts";

/** A path or name: a string (see names.ts for those that are not UTF-8) or its exact bytes. */
export type Name = string | Uint8Array;

/** The result of lstat. Times are nanoseconds since 1970. */
export interface FileStatus {
  /** Type and permissions, as in `st_mode`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly ino: bigint;
  readonly dev: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly nlink: number;
  /** Bytes on disk. */
  readonly diskBytes: number;
}

export interface OpenHow {
  /** O_ flags of constants.ts. O_CLOEXEC is always added. */
  readonly flags: number;
  /** Permissions of a file that is created; the umask applies. */
  readonly mode?: number;
  /** RESOLVE_ flags of constants.ts. */
  readonly resolve?: number;
}

export interface ScanOptions {
  /** Directory to scan, relative to `dirfd`; default: `dirfd` itself. A symlink here is followed. */
  readonly path?: Name;
  /** Depth limit: 1 lists only the root's own entries. */
  readonly maxDepth?: number;
  /** Directories that are listed but not entered, relative to the root. */
  readonly prunePaths?: readonly string[];
  /** Names of directories that are listed but not entered, wherever they are. */
  readonly pruneNames?: readonly string[];
  /** Fill `hasXattrs` (one more system call per entry). */
  readonly xattrs?: boolean;
  /** Fill `linkTarget` (one more system call per symlink). */
  readonly links?: boolean;
}

/** Metadata of new files, one item per file. `modes` are permissions with the setuid, setgid and sticky bits. */
export interface FileMetadata {
  readonly modes: Uint32Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly mtimesNs: BigInt64Array;
}

/** Contents of files that stay in memory: those of row `i` at `offsets[i]`; negative for other rows. */
export interface KeptBytes {
  readonly bytes: Uint8Array;
  readonly offsets: Float64Array;
}

/** Regular files of a scan of `dirfd`. */
export interface DigestBatch {
  readonly columns: ScanColumns;
  readonly rows: Int32Array;
  /** Receives the contents of files for which there is room; complete only where the result is the scan's size. */
  readonly kept: KeptBytes;
}

/** Files to create from one block: file `i` is the `sizes[i]` bytes at `offsets[i]`. */
export interface WriteBatch extends FileMetadata {
  readonly names: readonly string[];
  readonly data: Uint8Array;
  readonly offsets: Float64Array;
  readonly sizes: Float64Array;
  readonly resolve: number;
}

/** Regular files to copy: `from[i]` below one directory to the new name `to[i]` below another. No symlink is followed in either. */
export interface CopyBatch extends FileMetadata {
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** Receives the sha256 of each copy, 32 bytes, and its length: sources may change while they are copied. */
  readonly copied?: { readonly digests: Uint8Array; readonly sizes: Float64Array } | undefined;
  /** True for copies outside of the store: owners and modes are the kernel's, and nothing is written down. */
  readonly isOutside?: boolean;
}

/**
 * Regular files to share with another tree, at the same paths: those with exactly this size and metadata, and no
 * attributes.
 */
export interface LinkBatch extends FileMetadata {
  readonly names: readonly string[];
  readonly sizes: Float64Array;
}

/** The input of `packTree`: the rows of a scan with attributes and targets, in overlay form. */
export interface PackPlan {
  readonly columns: ScanColumns;
  /** Namespace of the overlay's own marks. */
  readonly marks: "trusted" | "user";
  /** True when the tar has `user.*` attributes besides capabilities. */
  readonly keepsUserAttributes: boolean;
  /** True when the content digest is needed, which takes a digest of every file. */
  readonly countsContent: boolean;
  /** Latest time: later ones become this one. Seconds since 1970. */
  readonly latestSeconds: number;
  /** Intervals for the content digest: a time within one is "now", others count. Without a list none do. */
  readonly runs?: LayerRuns;
}

/** The output of a tar. */
export interface PackOutput {
  /** Descriptor of an empty file, or of a pipe with a reader. Open for writing; the caller closes it. */
  readonly fd: number;
  readonly kind: "file" | "pipe";
  /** Files of a described tree. */
  readonly files?: PackFiles;
}

/** The files of a described tree, which are those of another directory. */
export interface PackFiles {
  /** Length of the prefix of every file's path that the directory lacks: `app/` of `app/src/a`, 4. */
  readonly strip: number;
  /** The sha256 of each row's file, 32 bytes per row. Other content counts as unreadable. */
  readonly expected: Uint8Array;
  /** A tar of an earlier layer: a file with the expected digest under the same path is read from it. */
  readonly earlierFd?: number | undefined;
  /** Contents that had the expected digests when they were read. */
  readonly kept: KeptBytes;
}

/** Size of the blocks in which `gunzip` reads a file; as in gunzip.c. */
export const GUNZIP_BLOCK_BYTES = 128 << 10;

/** The end of decompressing. */
export interface Gunzipped {
  /** `damaged`: not gzip, or with other bytes behind it; `cut`: it ends early. */
  readonly outcome: "whole" | "damaged" | "cut";
  /** Digest of what came out. */
  readonly sha256: Buffer;
  readonly sizeBytes: number;
}

/** Raw digests of a layer's tar and of its content. */
export interface PackSums {
  readonly diffId: Buffer;
  /** Meaningless where the plan does not count content. */
  readonly content: Buffer;
  readonly sizeBytes: number;
  readonly members: number;
}

/** Remembered digests of files, one item per entry in each column; see stat-index.ts. */
export interface KnownFiles {
  /** Ten numbers per entry: device, inode, size, mtime and ctime as in a scan. */
  readonly stamps: Int32Array;
  /** 32 bytes per entry. */
  readonly digests: Uint8Array;
  /** End of each path among all of them. */
  readonly pathEnds: Uint32Array;
  readonly paths: Uint8Array;
  /** Receives 1 for entries that are found. */
  readonly used: Uint8Array;
}

/** Rows of a scan to list. */
export interface ListedRows {
  readonly columns: ScanColumns;
  readonly rows: Int32Array;
  /** The row of the directory that paths are relative to. */
  readonly top: number;
  /** Digests of the regular files among the rows, 32 bytes each. */
  readonly digests: Uint8Array;
  /** `root` shows all files as root's. */
  readonly owners: "root" | "kept";
}

/**
 * The addon. Everything is synchronous unless it returns a promise. Names are relative to a directory's descriptor (or
 * AT_FDCWD), final symlinks are never followed, and an empty name means the descriptor itself where that makes sense
 * (status, ownership, mode, times, attributes). Failures are `SystemError`s.
 */
export interface Native {
  /** Opens a trusted host path, as open(2). The descriptor is closed with `close` or `fs.closeSync`. */
  openPath(path: Name, flags: number, mode?: number): number;
  /** Opens a path from an image: see RESOLVE_IN_ROOT. */
  openat2(dirfd: number, path: Name, how: OpenHow): number;
  close(fd: number): void;
  mkdirat(dirfd: number, name: Name, mode: number): void;
  symlinkat(target: Name, dirfd: number, name: Name): void;
  /** Makes a hard link to `from`, even if that is a symlink. */
  linkat(fromDirfd: number, from: Name, toDirfd: number, target: Name): void;
  /** `mode` with its type: S_IFCHR, S_IFBLK, S_IFIFO, S_IFREG. */
  mknodat(dirfd: number, name: Name, mode: number, device?: { readonly major: number; readonly minor: number }): void;
  /** AT_REMOVEDIR for directories. */
  unlinkat(dirfd: number, name: Name, flags?: number): void;
  renameat(fromDirfd: number, from: Name, toDirfd: number, target: Name): void;
  readlinkat(dirfd: number, name: Name): string;
  /**
   * Makes this process write owners down and read them back, instead of changing and asking them; and so devices
   * (`mknodat`). Attributes hold them, and files in `directory` where there can be no attributes. See owner-record.h.
   * @param mark where the user namespace has many ids: only what is beyond its map is written down, and the files that this
   * is true of get the namespace's last ids as owner. Without it there is a single id, and all owners are written down.
   */
  keepOwners(directory: string, mark?: { readonly uid: number; readonly gid: number }): void;
  fchownat(dirfd: number, name: Name, uid: number, gid: number): void;
  /**
   * Changes a mode.
   * @throws ENOTSUP for a symlink
   */
  fchmodat(dirfd: number, name: Name, mode: number): void;
  /** Changes a mode of a file outside of the store, where it is never written down. */
  chmodOutside(dirfd: number, name: Name, mode: number): void;
  utimensat(dirfd: number, name: Name, mtimeNs: bigint, atimeNs?: bigint): void;
  statat(dirfd: number, name: Name): FileStatus;
  /** Returns the status; `undefined` when there is no such name: ENOENT, or ENOTDIR on the way. */
  tryStatat(dirfd: number, name: Name): FileStatus | undefined;
  /** Lists attributes; empty where the file system has none. */
  listXattrs(dirfd: number, name: Name): readonly string[];
  /** Reads an attribute; `undefined` when the file has none of that name. */
  getXattr(dirfd: number, name: Name, key: string): Buffer | undefined;
  setXattr(dirfd: number, name: Name, key: string, value: Uint8Array): void;
  removeXattr(dirfd: number, name: Name, key: string): void;
  /**
   * Takes a lock; false when another open file holds it. It never waits; closing the last descriptor releases the lock.
   */
  tryLock(fd: number, kind: "shared" | "exclusive"): boolean;
  /** Blocks the whole process until the lock is granted: for locks that are held for moments. */
  lockSync(fd: number, kind: "shared" | "exclusive"): void;
  /** Waits for the lock on a thread of its own, which stays until the lock is granted. */
  lock(fd: number, kind: "shared" | "exclusive"): Promise<void>;
  unlock(fd: number): void;
  syncfs(fd: number): void;
  /** Allocates blocks for the file's first `length` bytes, holes included. False where the file system cannot. */
  allocate(fd: number, length: number): boolean;
  scanTree(dirfd: number, options?: ScanOptions): Promise<TreeScan>;
  scanTreeSync(dirfd: number, options?: ScanOptions): TreeScan;
  /** Digests files: 32 bytes for each, and one number: its length, or -errno. A final symlink is never followed. */
  digestRows(dirfd: number, batch: DigestBatch): Promise<{ readonly digests: Buffer; readonly results: Float64Array }>;
  /** Writes files. One number per file: 0 or -errno. The names must be new (O_EXCL), their directories present. */
  writeFiles(dirfd: number, batch: WriteBatch): Promise<Int32Array>;
  writeFilesSync(dirfd: number, batch: WriteBatch): Int32Array;
  /** Copies files. One number per file: 0 or -errno. Extended attributes are not copied. */
  copyFiles(fromDirfd: number, toDirfd: number, batch: CopyBatch): Promise<Int32Array>;
  /** Makes hard links. One number per file: its inode, or -errno, -ESTALE for one that differs. */
  linkFiles(fromDirfd: number, toDirfd: number, batch: LinkBatch): Promise<Float64Array>;
  /** Makes a pipe with the largest permitted capacity. Both ends are closed with `close`. */
  pipe(): { readonly readEnd: number; readonly writeEnd: number };
  /**
   * Computes the sums of a layer's tar, and writes the tar if there is an output. It runs on a thread of the pool, or
   * on one of its own where a pipe may block it, until `isCancelled` is not 0.
   * @throws SystemError: `read` with the path in the tree of the unreadable file (ESTALE: it is not the expected one),
   * `write` where the output refuses the bytes
   */
  packTree(dirfd: number, plan: PackPlan, isCancelled: Int32Array, output?: PackOutput): Promise<PackSums>;
  packTreeSync(dirfd: number, plan: PackPlan): PackSums;
  /**
   * Decompresses a gzip file into a pipe with a reader, on a thread of its own.
   * @param blocks its first element counts the blocks of `GUNZIP_BLOCK_BYTES` that have been read
   * @throws SystemError when a descriptor fails; ECANCELED when cancelled
   */
  gunzip(inputFd: number, outputFd: number, isCancelled: Int32Array, blocks: Int32Array): Promise<Gunzipped>;
  /**
   * Looks files up by path (the scanned directory is at `base`) and by the scan's facts about them.
   * @param digests receives 32 bytes per found row
   * @returns one number per row: that of its entry; -1 for an unknown path; minus the number minus 2 for another stamp
   */
  findKnown(known: KnownFiles, columns: ScanColumns, base: Name, rows: Int32Array, digests: Uint8Array): Int32Array;
  /** Makes the lines of a listing, in the form of listing.ts; `undefined` when a row is out of the ordinary. */
  listRows(listed: ListedRows): string | undefined;
  /** Removes a file or a whole tree; a missing one is no error. */
  removeTree(dirfd: number, name: Name): Promise<void>;
  removeTreeSync(dirfd: number, name: Name): void;
}
