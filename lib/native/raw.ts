import type { Name } from "./native.ts";
import type { ScanColumns } from "./scan.ts";

/** What a scan gives before it is read as a tree. `path` names, below the root, what could not be read. */
export type RawScan = ScanColumns & { readonly error: number; readonly path?: Buffer };

/** The addon's own functions: numbers out, negative ones are -errno. */
export interface Raw {
  open(dirfd: number, path: Name, flags: number, mode: number): number;
  openat2(dirfd: number, path: Name, flags: number, mode: number, resolve: number): number;
  close(fd: number): number;
  mkdirat(dirfd: number, name: Name, mode: number): number;
  symlinkat(target: Name, dirfd: number, name: Name): number;
  linkat(fromDirfd: number, from: Name, toDirfd: number, to: Name, flags: number): number;
  mknodat(dirfd: number, name: Name, mode: number, major: number, minor: number): number;
  unlinkat(dirfd: number, name: Name, flags: number): number;
  renameat(fromDirfd: number, from: Name, toDirfd: number, to: Name): number;
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
  allocate(fd: number, length: number): number;
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
  digestRows(
    dirfd: number,
    tree: readonly [parents: Int32Array, nameEnds: Uint32Array, names: Uint8Array],
    rows: Int32Array,
    sizes: Float64Array,
    digests: Uint8Array,
    results: Float64Array,
    kept: Uint8Array,
    offsets: Float64Array,
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
    digests: Uint8Array,
    sizes: Float64Array,
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
    runs: BigInt64Array,
    isCancelled: Int32Array,
    out: Uint8Array,
    isAsync: boolean,
    ...output: readonly [
      (readonly [
        fd: number,
        strip: number,
        expected: Uint8Array,
        earlierFd: number,
        kept: Uint8Array,
        keptAt: Float64Array,
      ])?,
    ]
  ): number | Promise<number>;
  findKnown(
    index: readonly [stamps: Int32Array, digests: Uint8Array, ends: Uint32Array, paths: Uint8Array, used: Uint8Array],
    stamps: readonly (BigInt64Array | BigUint64Array | Float64Array)[],
    tree: readonly [parents: Int32Array, nameEnds: Uint32Array, names: Uint8Array],
    base: Uint8Array,
    rows: Int32Array,
    digests: Uint8Array,
    results: Int32Array,
  ): number;
  listRows(
    columns: readonly (Uint32Array | Float64Array | Uint8Array)[],
    links: Uint8Array,
    tree: readonly [parents: Int32Array, nameEnds: Uint32Array, names: Uint8Array],
    top: number,
    rows: Int32Array,
    digests: Uint8Array,
    asRoot: boolean,
  ): string | undefined;
  removeTree(dirfd: number, name: Name, isAsync: boolean): number | Promise<number>;
}
