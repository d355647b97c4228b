import type { FileMetadata, KnownFiles, LinkBatch, ListedRows, Name, WriteBatch } from "./native.ts";
import type { ScanColumns } from "./scan.ts";

/** The raw result of a scan. `path` names, below the root, an unreadable entry. */
export type RawScan = ScanColumns & { readonly error: number; readonly path?: Buffer };

/** The addon's own functions: numbers out, negative ones are -errno. */
export interface Raw {
  open(dirfd: number, path: Name, flags: number, mode: number): number;
  openat2(dirfd: number, path: Name, flags: number, mode: number, resolve: number): number;
  close(fd: number): number;
  mkdirat(dirfd: number, name: Name, mode: number): number;
  symlinkat(target: Name, dirfd: number, name: Name): number;
  linkat(fromDirfd: number, from: Name, toDirfd: number, target: Name, flags: number): number;
  mknodat(dirfd: number, name: Name, mode: number, major: number, minor: number): number;
  unlinkat(dirfd: number, name: Name, flags: number): number;
  renameat(fromDirfd: number, from: Name, toDirfd: number, target: Name): number;
  readlinkat(dirfd: number, name: Name, into: Buffer): number;
  keepOwners(directory: string, markUid: number, markGid: number): number;
  fchownat(dirfd: number, name: Name, uid: number, gid: number): number;
  fchmodat(dirfd: number, name: Name, mode: number): number;
  chmodOutside(dirfd: number, name: Name, mode: number): number;
  utimensat(dirfd: number, name: Name, mtimeNs: bigint, atimeNs: bigint): number;
  statat(dirfd: number, name: Name, into: Float64Array): number;
  listxattr(dirfd: number, name: Name, into: Buffer): number;
  getxattr(dirfd: number, name: Name, key: string, into: Buffer): number;
  setxattr(dirfd: number, name: Name, key: string, value: Uint8Array): number;
  removexattr(dirfd: number, name: Name, key: string): number;
  flock(fd: number, operation: number): number;
  waitFlock(fd: number, operation: number): number | Promise<number>;
  syncfs(fd: number): number;
  allocate(fd: number, length: number): number;
  scanTree(call: ScanCall): RawScan | Promise<RawScan>;
  digestRows(call: DigestCall): Promise<number>;
  writeFiles(call: WriteCall): number | Promise<number>;
  copyFiles(call: CopyCall): Promise<number>;
  linkFiles(call: LinkBatch & BetweenDirectories & { readonly results: Float64Array }): Promise<number>;
  pipe(ends: Int32Array): number;
  packTree(call: PackCall): number | Promise<number>;
  gunzip(call: GunzipCall): Promise<number>;
  findKnown(call: KnownCall): number;
  listRows(call: Omit<ListedRows, "owners"> & { readonly asRoot: boolean }): string | undefined;
  removeTree(dirfd: number, name: Name, isAsync: boolean): number | Promise<number>;
}

const CALLS: Readonly<Record<keyof Raw, true>> = {
  open: true,
  openat2: true,
  close: true,
  mkdirat: true,
  symlinkat: true,
  linkat: true,
  pipe: true,
  mknodat: true,
  unlinkat: true,
  renameat: true,
  readlinkat: true,
  keepOwners: true,
  fchownat: true,
  fchmodat: true,
  chmodOutside: true,
  utimensat: true,
  statat: true,
  listxattr: true,
  getxattr: true,
  setxattr: true,
  removexattr: true,
  flock: true,
  waitFlock: true,
  syncfs: true,
  allocate: true,
  scanTree: true,
  digestRows: true,
  writeFiles: true,
  copyFiles: true,
  linkFiles: true,
  packTree: true,
  gunzip: true,
  findKnown: true,
  listRows: true,
  removeTree: true,
};

/** Tells whether a file's exports are this addon in its present form: another build of it may lack a function. */
export function isRaw(exports: object): exports is Raw {
  const found = new Map<string, unknown>(Object.entries(exports));
  return Object.keys(CALLS).every((name) => typeof found.get(name) === "function");
}

/*
 * The argument of calls with many values: one object; the C side reads its properties by name. It keeps the object,
 * and so the arrays in it, until the work is done. Nothing changes it after the call.
 */

interface InDirectory {
  readonly dirfd: number;
}

interface BetweenDirectories {
  readonly fromDirfd: number;
  readonly toDirfd: number;
}

/** Calls that are synchronous or not, as the caller chooses. */
interface MayWait {
  readonly isAsync: boolean;
}

interface ScanCall extends InDirectory, MayWait {
  readonly path: Name;
  /** Bits: 1 asks for attributes, 2 for the targets of symlinks. */
  readonly options: number;
  /** -1: as far as it goes. */
  readonly maxDepth: number;
  readonly prunePaths: readonly string[];
  readonly pruneNames: readonly string[];
}

interface DigestCall extends InDirectory {
  readonly columns: ScanColumns;
  readonly rows: Int32Array;
  readonly digests: Uint8Array;
  readonly results: Float64Array;
  readonly kept: Uint8Array;
  readonly keptAt: Float64Array;
}

interface WriteCall extends Omit<WriteBatch, "names">, MayWait {
  readonly toDirfd: number;
  readonly to: readonly string[];
  readonly results: Int32Array;
}

interface CopyCall extends BetweenDirectories, FileMetadata {
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly results: Int32Array;
  readonly digests?: Uint8Array | undefined;
  readonly sizes?: Float64Array | undefined;
}

export interface PackCall extends InDirectory {
  readonly columns: ScanColumns;
  /** True for `trusted.overlay.*`, false for `user.overlay.*`. */
  readonly areMarksTrusted: boolean;
  readonly keepsUserAttributes: boolean;
  readonly countsContent: boolean;
  readonly latestSeconds: number;
  /** A flag whether times count in the content digest, then pairs of times. */
  readonly runs: BigInt64Array;
  readonly isCancelled: Int32Array;
  /** Receives 84 bytes: diffID, content digest, size, members, the row of a failure, and a flag for the output's. */
  readonly sums: Uint8Array;
  /** A `job_place` of addon.h. */
  readonly place: number;
  /** -1: there is none. */
  readonly outputFd: number;
  readonly files?: PackFilesCall | undefined;
}

interface PackFilesCall {
  readonly strip: number;
  readonly expected: Uint8Array;
  /** -1: there is none. */
  readonly earlierFd: number;
  readonly kept: Uint8Array;
  readonly keptAt: Float64Array;
}

interface GunzipCall {
  readonly inputFd: number;
  readonly outputFd: number;
  readonly isCancelled: Int32Array;
  readonly blocks: Int32Array;
  /** Receives 40 bytes: the digest of what comes out, and its size. */
  readonly sums: Uint8Array;
}

interface KnownCall {
  readonly known: KnownFiles;
  readonly columns: ScanColumns;
  readonly base: Uint8Array;
  readonly rows: Int32Array;
  readonly digests: Uint8Array;
  readonly results: Int32Array;
}
