import { AT_FDCWD } from "./constants.ts";
import { SystemError } from "./errno.ts";
import { decodeName } from "./names.ts";
import { type ScanColumns, TreeScan } from "./scan.ts";

/** A path or name: a string (see names.ts for those that are not UTF-8) or its exact bytes. */
export type Name = string | Uint8Array;

/** What lstat says. Times are nanoseconds since 1970. */
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
  /** Directory to scan, relative to `dirfd`; `dirfd` itself when left out. A symlink here is followed. */
  readonly path?: Name;
  /** How far below the root to look: 1 lists only its own entries. */
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

/** Files to read into one block: file `i` goes to `offsets[i]` and is at most `sizes[i]` bytes long. */
export interface ReadBatch {
  readonly names: readonly string[];
  readonly into: Uint8Array;
  readonly offsets: Float64Array;
  readonly sizes: Float64Array;
  /** RESOLVE_ flags for the names. A final symlink is never followed. */
  readonly resolve: number;
}

/** What new files get, one item per file. `modes` are permissions with the setuid, setgid and sticky bits. */
export interface FileMetadata {
  readonly modes: Uint32Array;
  readonly uids: Uint32Array;
  readonly gids: Uint32Array;
  readonly mtimesNs: BigInt64Array;
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
  /** What the sources must still be when they have been read, one item per file; without it they are taken as they are. */
  readonly expected?: { readonly sizes: Float64Array; readonly ctimesNs: BigInt64Array } | undefined;
}

/** Regular files to share with another tree, at the same paths: those that have just this size and metadata, and no attributes. */
export interface LinkBatch extends FileMetadata {
  readonly names: readonly string[];
  readonly sizes: Float64Array;
}

/**
 * What `packTree` packs: rows of a scan, one item per row in each column. Rows of kind 0 are left out; of those of kind 1 the
 * addon makes the member itself; those of kind 2 are in `script`, in the order of the rows. pack.c has the format.
 */
export interface PackPlan {
  readonly columns: ScanColumns;
  readonly kinds: Uint8Array;
  readonly script: Uint8Array;
  /** Later times become this one. Seconds since 1970. */
  readonly latestSeconds: number;
}

/** Sums of a layer's tar and of its content, raw. */
export interface PackSums {
  readonly diffId: Buffer;
  readonly content: Buffer;
  readonly sizeBytes: number;
  readonly members: number;
}

/**
 * The addon. Everything is synchronous unless it returns a promise. Names are relative to a directory's descriptor (or
 * AT_FDCWD), final symlinks are never followed, and an empty name means the descriptor itself where that makes sense
 * (status, ownership, mode, times, attributes). Failures are `SystemError`s.
 */
export interface Native {
  /** open(2) of a host path that is trusted. The descriptor is closed with `close` or `fs.closeSync`. */
  openPath(path: Name, flags: number, mode?: number): number;
  /** The way to open what comes from an image: see RESOLVE_IN_ROOT. */
  openat2(dirfd: number, path: Name, how: OpenHow): number;
  close(fd: number): void;
  mkdirat(dirfd: number, name: Name, mode: number): void;
  symlinkat(target: Name, dirfd: number, name: Name): void;
  /** A hard link to `from`, itself when that is a symlink. */
  linkat(fromDirfd: number, from: Name, toDirfd: number, to: Name): void;
  /** `mode` with its type: S_IFCHR, S_IFBLK, S_IFIFO, S_IFREG. */
  mknodat(dirfd: number, name: Name, mode: number, device?: { readonly major: number; readonly minor: number }): void;
  /** AT_REMOVEDIR for directories. */
  unlinkat(dirfd: number, name: Name, flags?: number): void;
  /** RENAME_NOREPLACE, RENAME_EXCHANGE. */
  renameat(fromDirfd: number, from: Name, toDirfd: number, to: Name, flags?: number): void;
  readlinkat(dirfd: number, name: Name): string;
  /**
   * Where a user namespace has a single id: from now on, in this process, owners are written down and read back instead of
   * changed and asked, and so are devices (`mknodat`). Attributes hold them, and files in `directory` where there can be no
   * attributes. See owner-record.h.
   */
  keepOwners(directory: string): void;
  fchownat(dirfd: number, name: Name, uid: number, gid: number): void;
  /** @throws ENOTSUP for a symlink. */
  fchmodat(dirfd: number, name: Name, mode: number): void;
  utimensat(dirfd: number, name: Name, mtimeNs: bigint, atimeNs?: bigint): void;
  statat(dirfd: number, name: Name): FileStatus;
  /** `undefined` when there is no such name: ENOENT, or ENOTDIR on the way. */
  tryStatat(dirfd: number, name: Name): FileStatus | undefined;
  /** Empty where the file system has no extended attributes. */
  listXattrs(dirfd: number, name: Name): readonly string[];
  /** `undefined` when the file has no such attribute. */
  getXattr(dirfd: number, name: Name, key: string): Buffer | undefined;
  setXattr(dirfd: number, name: Name, key: string, value: Uint8Array): void;
  removeXattr(dirfd: number, name: Name, key: string): void;
  /** Copies from and to the descriptors' positions; returns the bytes copied, fewer only at the input's end. */
  copyFileRange(inFd: number, outFd: number, length: number): number;
  /** Makes `outFd` share all of `inFd`'s bytes (FICLONE). False where the file system cannot. */
  cloneFile(inFd: number, outFd: number): boolean;
  /** False when another open file holds the lock. It never waits; closing the last descriptor gives the lock back. */
  tryLock(fd: number, kind: "shared" | "exclusive"): boolean;
  /** Blocks the whole process until the lock is granted: for locks that are held for moments. */
  lockSync(fd: number, kind: "shared" | "exclusive"): void;
  /** Waits for the lock on a thread of its own, which stays until the lock is granted. */
  lock(fd: number, kind: "shared" | "exclusive"): Promise<void>;
  unlock(fd: number): void;
  syncfs(fd: number): void;
  scanTree(dirfd: number, options?: ScanOptions): Promise<TreeScan>;
  scanTreeSync(dirfd: number, options?: ScanOptions): TreeScan;
  /** One number per file: the bytes read, `size + 1` when there are more than asked for, or -errno. */
  readFilesSync(dirfd: number, batch: ReadBatch): Int32Array;
  /** The sha256 of each file, 32 bytes, and one number: its length, or -errno. A final symlink is never followed. */
  digestFiles(
    dirfd: number,
    names: readonly string[],
    resolve: number,
  ): Promise<{ readonly digests: Buffer; readonly results: Float64Array }>;
  /** One number per file: 0 or -errno. The names must be new (O_EXCL), their directories there. */
  writeFiles(dirfd: number, batch: WriteBatch): Promise<Int32Array>;
  writeFilesSync(dirfd: number, batch: WriteBatch): Int32Array;
  /** One number per file: 0 or -errno, -ESTALE for one that is not as expected. Extended attributes are not copied. */
  copyFiles(fromDirfd: number, toDirfd: number, batch: CopyBatch): Promise<Int32Array>;
  /** Makes hard links. One number per file: its inode, or -errno, -ESTALE for one that is not as wanted. */
  linkFiles(fromDirfd: number, toDirfd: number, batch: LinkBatch): Promise<Float64Array>;
  /**
   * The sums of a layer as a tar. On a thread, until `isCancelled` holds something else than 0.
   * @throws SystemError with the path below `dirfd` of the file that cannot be read; ESTALE: its size is another
   */
  packTree(dirfd: number, plan: PackPlan, isCancelled: Int32Array): Promise<PackSums>;
  packTreeSync(dirfd: number, plan: PackPlan): PackSums;
  /** Removes a file or a whole tree; nothing there is no error. */
  removeTree(dirfd: number, name: Name): Promise<void>;
  removeTreeSync(dirfd: number, name: Name): void;
}

type RawScan = ScanColumns & { readonly error: number; readonly path?: Buffer };

/** The addon's own functions: numbers out, negative ones are -errno. */
interface Raw {
  open(dirfd: number, path: Name, flags: number, mode: number): number;
  openat2(dirfd: number, path: Name, flags: number, mode: number, resolve: number): number;
  close(fd: number): number;
  mkdirat(dirfd: number, name: Name, mode: number): number;
  symlinkat(target: Name, dirfd: number, name: Name): number;
  linkat(fromDirfd: number, from: Name, toDirfd: number, to: Name, flags: number): number;
  mknodat(dirfd: number, name: Name, mode: number, major: number, minor: number): number;
  unlinkat(dirfd: number, name: Name, flags: number): number;
  renameat(fromDirfd: number, from: Name, toDirfd: number, to: Name, flags: number): number;
  readlinkat(dirfd: number, name: Name, into: Buffer): number;
  keepOwners(directory: string): number;
  fchownat(dirfd: number, name: Name, uid: number, gid: number): number;
  fchmodat(dirfd: number, name: Name, mode: number): number;
  utimensat(dirfd: number, name: Name, mtimeNs: bigint, atimeNs: bigint): number;
  statat(dirfd: number, name: Name, into: Float64Array): number;
  listxattr(dirfd: number, name: Name, into: Buffer): number;
  getxattr(dirfd: number, name: Name, key: string, into: Buffer): number;
  setxattr(dirfd: number, name: Name, key: string, value: Uint8Array): number;
  removexattr(dirfd: number, name: Name, key: string): number;
  copyFileRange(inFd: number, outFd: number, length: number): number;
  clone(inFd: number, outFd: number): number;
  flock(fd: number, operation: number): number;
  waitFlock(fd: number, operation: number): number | Promise<number>;
  syncfs(fd: number): number;
  scanTree(
    dirfd: number,
    path: Name,
    options: number,
    maxDepth: number,
    prunePaths: readonly string[],
    pruneNames: readonly string[],
    isAsync: boolean,
  ): RawScan | Promise<RawScan>;
  readFiles(
    dirfd: number,
    names: readonly string[],
    resolve: number,
    into: Uint8Array,
    offsets: Float64Array,
    sizes: Float64Array,
    results: Int32Array,
    isAsync: boolean,
  ): number | Promise<number>;
  digestFiles(
    dirfd: number,
    names: readonly string[],
    resolve: number,
    digests: Uint8Array,
    results: Float64Array,
  ): number | Promise<number>;
  writeFiles(
    dirfd: number,
    names: readonly string[],
    resolve: number,
    content: readonly [data: Uint8Array, offsets: Float64Array, sizes: Float64Array],
    modes: Uint32Array,
    uids: Uint32Array,
    gids: Uint32Array,
    mtimesNs: BigInt64Array,
    results: Int32Array,
    isAsync: boolean,
  ): number | Promise<number>;
  copyFiles(
    fromDirfd: number,
    from: readonly string[],
    toDirfd: number,
    to: readonly string[],
    modes: Uint32Array,
    uids: Uint32Array,
    gids: Uint32Array,
    mtimesNs: BigInt64Array,
    results: Int32Array,
    isAsync: boolean,
    expectedSizes: Float64Array,
    expectedCtimesNs: BigInt64Array,
  ): number | Promise<number>;
  linkFiles(
    fromDirfd: number,
    toDirfd: number,
    names: readonly string[],
    sizes: Float64Array,
    modes: Uint32Array,
    uids: Uint32Array,
    gids: Uint32Array,
    mtimesNs: BigInt64Array,
    results: Float64Array,
    isAsync: boolean,
  ): number | Promise<number>;
  packTree(
    dirfd: number,
    columns: readonly (Uint32Array | Int32Array | Float64Array | BigInt64Array | Uint8Array)[],
    names: Uint8Array,
    links: Uint8Array,
    script: Uint8Array,
    latestSeconds: number,
    isCancelled: Int32Array,
    out: Uint8Array,
    isAsync: boolean,
  ): number | Promise<number>;
  removeTree(dirfd: number, name: Name, isAsync: boolean): number | Promise<number>;
}

const ENOENT = -2;
const ENOTDIR = -20;
const ERANGE = -34;
const ENODATA = -61;
const EOPNOTSUPP = -95;
const LOCKS = { shared: 1, exclusive: 2, nonblocking: 4, unlock: 8 } as const;
const SCAN_XATTRS = 1;
const SCAN_LINKS = 2;

/** Loads the addon from its file. @throws Node's ERR_DLOPEN_FAILED when it is missing or of another machine. */
export function loadNative(path: string): Native {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, path);
  return wrap(module.exports as Raw);
}

function shown(name: Name): string {
  return typeof name === "string" ? name : decodeName(name);
}

/** The result of a system call that takes a name, or its error. */
function checked(result: number, syscall: string, path?: Name, dest?: Name): number {
  if (result >= 0) return result;
  throw new SystemError(
    result,
    syscall,
    path === undefined ? undefined : shown(path),
    dest === undefined ? undefined : shown(dest),
  );
}

function wrap(raw: Raw): Native {
  // Scratch space for synchronous calls: no two of them ever overlap.
  const statusValues = new Float64Array(16);
  const scratch = Buffer.alloc(65536);

  const status = (): FileStatus => {
    const [mode = 0, uid = 0, gid = 0, size = 0, mtimeS = 0, mtimeRest = 0, ctimeS = 0, ctimeRest = 0] = statusValues;
    const at = (index: number): number => statusValues[index] ?? 0;
    return {
      mode,
      uid,
      gid,
      size,
      mtimeNs: BigInt(mtimeS) * 1_000_000_000n + BigInt(mtimeRest),
      ctimeNs: BigInt(ctimeS) * 1_000_000_000n + BigInt(ctimeRest),
      ino: (BigInt(at(8)) << 32n) | BigInt(at(9)),
      dev: at(10),
      rdevMajor: at(11),
      rdevMinor: at(12),
      nlink: at(13),
      diskBytes: at(14),
    };
  };

  const scan = (dirfd: number, options: ScanOptions, isAsync: boolean): RawScan | Promise<RawScan> =>
    raw.scanTree(
      dirfd,
      options.path ?? "",
      (options.xattrs === true ? SCAN_XATTRS : 0) | (options.links === true ? SCAN_LINKS : 0),
      options.maxDepth ?? -1,
      options.prunePaths ?? [],
      options.pruneNames ?? [],
      isAsync,
    );
  const scanned = (result: RawScan, options: ScanOptions): TreeScan => {
    if (result.error < 0) {
      const below = decodeName(result.path ?? Buffer.alloc(0));
      throw new SystemError(result.error, "scandir", [shown(options.path ?? ""), below].filter(Boolean).join("/"));
    }
    return new TreeScan(result);
  };
  const pack = (
    dirfd: number,
    plan: PackPlan,
    isCancelled: Int32Array,
    out: Buffer,
    isAsync: boolean,
  ): number | Promise<number> => {
    const { mode, uid, gid, nameEnd, linkEnd, size, mtimeNs, parent, names, links } = plan.columns;
    const columns = [mode, uid, gid, nameEnd, linkEnd, size, mtimeNs, parent, plan.kinds];
    return raw.packTree(dirfd, columns, names, links, plan.script, plan.latestSeconds, isCancelled, out, isAsync);
  };
  const packed = (result: number, plan: PackPlan, out: Buffer): PackSums => {
    if (result < 0) throw new SystemError(result, "read", new TreeScan(plan.columns).path(out.readUInt32LE(76)));
    return {
      diffId: out.subarray(0, 32),
      content: out.subarray(32, 64),
      sizeBytes: Number(out.readBigUInt64LE(64)),
      members: out.readUInt32LE(72),
    };
  };
  const write = (dirfd: number, batch: WriteBatch, results: Int32Array, isAsync: boolean): number | Promise<number> =>
    raw.writeFiles(
      dirfd,
      batch.names,
      batch.resolve,
      [batch.data, batch.offsets, batch.sizes],
      batch.modes,
      batch.uids,
      batch.gids,
      batch.mtimesNs,
      results,
      isAsync,
    );

  return {
    openPath: (path, flags, mode = 0o666) => checked(raw.open(AT_FDCWD, path, flags, mode), "open", path),
    openat2: (dirfd, path, how) =>
      checked(raw.openat2(dirfd, path, how.flags, how.mode ?? 0o666, how.resolve ?? 0), "openat2", path),
    close: (fd) => void checked(raw.close(fd), "close"),
    mkdirat: (dirfd, name, mode) => void checked(raw.mkdirat(dirfd, name, mode), "mkdir", name),
    symlinkat: (target, dirfd, name) => void checked(raw.symlinkat(target, dirfd, name), "symlink", target, name),
    linkat: (fromDirfd, from, toDirfd, to) =>
      void checked(raw.linkat(fromDirfd, from, toDirfd, to, 0), "link", from, to),
    mknodat: (dirfd, name, mode, device) =>
      void checked(raw.mknodat(dirfd, name, mode, device?.major ?? 0, device?.minor ?? 0), "mknod", name),
    unlinkat: (dirfd, name, flags = 0) => void checked(raw.unlinkat(dirfd, name, flags), "unlink", name),
    renameat: (fromDirfd, from, toDirfd, to, flags = 0) =>
      void checked(raw.renameat(fromDirfd, from, toDirfd, to, flags), "rename", from, to),
    readlinkat: (dirfd, name) =>
      decodeName(scratch.subarray(0, checked(raw.readlinkat(dirfd, name, scratch), "readlink", name))),
    keepOwners: (directory) => void checked(raw.keepOwners(directory), "open", directory),
    fchownat: (dirfd, name, uid, gid) => void checked(raw.fchownat(dirfd, name, uid, gid), "chown", name),
    fchmodat: (dirfd, name, mode) => void checked(raw.fchmodat(dirfd, name, mode), "chmod", name),
    utimensat: (dirfd, name, mtimeNs, atimeNs = mtimeNs) =>
      void checked(raw.utimensat(dirfd, name, mtimeNs, atimeNs), "utime", name),
    statat: (dirfd, name) => {
      checked(raw.statat(dirfd, name, statusValues), "lstat", name);
      return status();
    },
    tryStatat: (dirfd, name) => {
      const result = raw.statat(dirfd, name, statusValues);
      if (result === ENOENT || result === ENOTDIR) return undefined;
      checked(result, "lstat", name);
      return status();
    },
    listXattrs: (dirfd, name) => {
      const result = raw.listxattr(dirfd, name, scratch);
      if (result === 0 || result === EOPNOTSUPP) return [];
      const length = checked(result, "listxattr", name);
      return decodeName(scratch.subarray(0, length - 1)).split("\0");
    },
    getXattr: (dirfd, name, key) => {
      const result = raw.getxattr(dirfd, name, key, scratch);
      // ERANGE cannot be: no value is longer than the 64 KiB of XATTR_SIZE_MAX.
      if (result === ENODATA || result === EOPNOTSUPP || result === ERANGE) return undefined;
      return Buffer.from(scratch.subarray(0, checked(result, "getxattr", name)));
    },
    setXattr: (dirfd, name, key, value) => void checked(raw.setxattr(dirfd, name, key, value), "setxattr", name),
    removeXattr: (dirfd, name, key) => void checked(raw.removexattr(dirfd, name, key), "removexattr", name),
    copyFileRange: (inFd, outFd, length) => checked(raw.copyFileRange(inFd, outFd, length), "copy_file_range"),
    cloneFile: (inFd, outFd) => {
      const result = raw.clone(inFd, outFd);
      // EOPNOTSUPP, EXDEV, EINVAL, ENOTTY: not on this file system, or not between these two.
      if (result === EOPNOTSUPP || result === -18 || result === -22 || result === -25) return false;
      return checked(result, "ioctl") === 0;
    },
    tryLock: (fd, kind) => {
      const result = raw.flock(fd, LOCKS[kind] | LOCKS.nonblocking);
      return result === -11 ? false : checked(result, "flock") === 0;
    },
    lockSync: (fd, kind) => void checked(raw.flock(fd, LOCKS[kind]), "flock"),
    lock: async (fd, kind) => void checked(await raw.waitFlock(fd, LOCKS[kind]), "flock"),
    unlock: (fd) => void checked(raw.flock(fd, LOCKS.unlock), "flock"),
    syncfs: (fd) => void checked(raw.syncfs(fd), "syncfs"),
    scanTree: async (dirfd, options = {}) => scanned(await scan(dirfd, options, true), options),
    scanTreeSync: (dirfd, options = {}) => scanned(scan(dirfd, options, false) as RawScan, options),
    readFilesSync: (dirfd, batch) => {
      const results = new Int32Array(batch.names.length);
      const { names, resolve, into, offsets, sizes } = batch;
      checked(raw.readFiles(dirfd, names, resolve, into, offsets, sizes, results, false) as number, "read");
      return results;
    },
    digestFiles: async (dirfd, names, resolve) => {
      const digests = Buffer.alloc(32 * names.length);
      const results = new Float64Array(names.length);
      checked(await raw.digestFiles(dirfd, names, resolve, digests, results), "read");
      return { digests, results };
    },
    writeFiles: async (dirfd, batch) => {
      const results = new Int32Array(batch.names.length);
      checked(await write(dirfd, batch, results, true), "write");
      return results;
    },
    writeFilesSync: (dirfd, batch) => {
      const results = new Int32Array(batch.names.length);
      checked(write(dirfd, batch, results, false) as number, "write");
      return results;
    },
    copyFiles: async (fromDirfd, toDirfd, batch) => {
      const results = new Int32Array(batch.to.length);
      const { from, to, modes, uids, gids, mtimesNs, expected } = batch;
      const { sizes = new Float64Array(0), ctimesNs = new BigInt64Array(0) } = expected ?? {};
      const columns = [modes, uids, gids, mtimesNs, results, true, sizes, ctimesNs] as const;
      checked(await raw.copyFiles(fromDirfd, from, toDirfd, to, ...columns), "copy");
      return results;
    },
    linkFiles: async (fromDirfd, toDirfd, batch) => {
      const results = new Float64Array(batch.names.length);
      const { names, sizes, modes, uids, gids, mtimesNs } = batch;
      const columns = [sizes, modes, uids, gids, mtimesNs, results, true] as const;
      checked(await raw.linkFiles(fromDirfd, toDirfd, names, ...columns), "link");
      return results;
    },
    packTree: async (dirfd, plan, isCancelled) => {
      const out = Buffer.alloc(80);
      return packed(await pack(dirfd, plan, isCancelled, out, true), plan, out);
    },
    packTreeSync: (dirfd, plan) => {
      const out = Buffer.alloc(80);
      return packed(pack(dirfd, plan, new Int32Array(1), out, false) as number, plan, out);
    },
    removeTree: async (dirfd, name) => void checked(await raw.removeTree(dirfd, name, true), "rm", name),
    removeTreeSync: (dirfd, name) => void checked(raw.removeTree(dirfd, name, false) as number, "rm", name),
  };
}
