import { BuildError, messageOf } from "../core/errors.ts";
import { AT_FDCWD } from "./constants.ts";
import { SystemError } from "./errno.ts";
import { decodeName, encodeName } from "./names.ts";
import type { FileStatus, Name, Native, PackFiles, PackOutput, PackPlan, PackSums, ScanOptions } from "./native.ts";
import { isRaw, type PackCall, type Raw, type RawScan } from "./raw.ts";
import { TreeScan } from "./scan.ts";

const ENOENT = -2;
const ENOTDIR = -20;
const ERANGE = -34;
const ENODATA = -61;
const EOPNOTSUPP = -95;
const ENOSYS = -38;
const LOCKS = { shared: 1, exclusive: 2, nonblocking: 4, unlock: 8 } as const;
const SCAN_XATTRS = 1;
const SCAN_LINKS = 2;
// `job_place` of addon.h.
const JOB_NOW = 0;
const JOB_POOL = 1;
const JOB_THREAD = 2;
const PACK_SUMS_BYTES = 84;
const GUNZIP_SUMS_BYTES = 40;

/**
 * Loads the addon from its file.
 * @throws {BuildError} `native/missing` when it is missing or built for another machine
 */
export function loadNative(path: string): Native {
  const module = { exports: {} };
  try {
    process.dlopen(module, path);
  } catch (error) {
    throw new BuildError("native/missing", `Cannot load the native addon: ${messageOf(error)}`, {
      hint: /Too many open files/.test(messageOf(error))
        ? "allow kiln more open files: ulimit -n 1024"
        : "run 'npm ci && npm run build' on this machine",
      cause: error,
    });
  }
  const { exports } = module;
  if (isRaw(exports)) return wrap(exports);
  throw new BuildError("native/missing", `Cannot use the native addon "${path}": it is another version`, {
    hint: "run 'npm ci && npm run build' on this machine",
  });
}

function shown(name: Name): string {
  return typeof name === "string" ? name : decodeName(name);
}

/** The id that none is: the addon takes it as "no mark, write all owners down", the kernel as no id at all. */
const NO_ID = 0xffff_ffff;

/** The result of a call that was told not to wait. */
function atOnce<T>(result: T | Promise<T>): T {
  if (result instanceof Promise) throw new Error("The addon waits in a call that should not");
  return result;
}

/** Returns the result of a system call that takes a name, or throws its error. */
function checked(result: number, syscall: string, path?: Name, dest?: Name): number {
  if (result >= 0) return result;
  throw new SystemError(
    result,
    syscall,
    path === undefined ? undefined : shown(path),
    dest === undefined ? undefined : shown(dest),
  );
}

function describedFiles({ strip, expected, earlierFd = -1, kept }: PackFiles): PackCall["files"] {
  return { strip, expected, earlierFd, kept: kept.bytes, keptAt: kept.offsets };
}

/** The part of a pack call that its plan does not contain. */
type PackWork = Pick<PackCall, "dirfd" | "isCancelled" | "sums" | "place">;

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
    raw.scanTree({
      dirfd,
      path: options.path ?? "",
      options: (options.xattrs === true ? SCAN_XATTRS : 0) | (options.links === true ? SCAN_LINKS : 0),
      maxDepth: options.maxDepth ?? -1,
      prunePaths: options.prunePaths ?? [],
      pruneNames: options.pruneNames ?? [],
      isAsync,
    });
  const scanned = (result: RawScan, options: ScanOptions): TreeScan => {
    if (result.error < 0) {
      const below = decodeName(result.path ?? Buffer.alloc(0));
      throw new SystemError(result.error, "scandir", [shown(options.path ?? ""), below].filter(Boolean).join("/"));
    }
    return new TreeScan(result);
  };
  const pack = (call: PackWork, plan: PackPlan, output?: PackOutput): number | Promise<number> => {
    const { columns, marks, keepsUserAttributes, countsContent, latestSeconds, runs } = plan;
    const counted = runs === undefined ? 0n : 1n;
    return raw.packTree({
      ...call,
      columns,
      areMarksTrusted: marks === "trusted",
      keepsUserAttributes,
      countsContent,
      latestSeconds,
      runs: BigInt64Array.of(counted, ...(runs ?? []).flatMap((run) => [run.fromNs, run.untilNs])),
      outputFd: output?.fd ?? -1,
      files: output?.files === undefined ? undefined : describedFiles(output.files),
    });
  };
  const packed = (result: number, plan: PackPlan, out: Buffer): PackSums => {
    if (result < 0 && out.readUInt32LE(80) !== 0) throw new SystemError(result, "write");
    if (result < 0) throw new SystemError(result, "read", new TreeScan(plan.columns).path(out.readUInt32LE(76)));
    return {
      diffId: out.subarray(0, 32),
      content: out.subarray(32, 64),
      sizeBytes: Number(out.readBigUInt64LE(64)),
      members: out.readUInt32LE(72),
    };
  };
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
    renameat: (fromDirfd, from, toDirfd, to) =>
      void checked(raw.renameat(fromDirfd, from, toDirfd, to), "rename", from, to),
    readlinkat: (dirfd, name) =>
      decodeName(scratch.subarray(0, checked(raw.readlinkat(dirfd, name, scratch), "readlink", name))),
    keepOwners: (directory, mark = { uid: NO_ID, gid: NO_ID }) =>
      void checked(raw.keepOwners(directory, mark.uid, mark.gid), "open", directory),
    fchownat: (dirfd, name, uid, gid) => void checked(raw.fchownat(dirfd, name, uid, gid), "chown", name),
    fchmodat: (dirfd, name, mode) => void checked(raw.fchmodat(dirfd, name, mode), "chmod", name),
    chmodOutside: (dirfd, name, mode) => void checked(raw.chmodOutside(dirfd, name, mode), "chmod", name),
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
      // ERANGE is impossible: no value is longer than the 64 KiB of XATTR_SIZE_MAX.
      if (result === ENODATA || result === EOPNOTSUPP || result === ERANGE) return undefined;
      return Buffer.from(scratch.subarray(0, checked(result, "getxattr", name)));
    },
    setXattr: (dirfd, name, key, value) => void checked(raw.setxattr(dirfd, name, key, value), "setxattr", name),
    removeXattr: (dirfd, name, key) => void checked(raw.removexattr(dirfd, name, key), "removexattr", name),
    tryLock: (fd, kind) => {
      const result = raw.flock(fd, LOCKS[kind] | LOCKS.nonblocking);
      return result === -11 ? false : checked(result, "flock") === 0;
    },
    lockSync: (fd, kind) => void checked(raw.flock(fd, LOCKS[kind]), "flock"),
    lock: async (fd, kind) => void checked(await raw.waitFlock(fd, LOCKS[kind]), "flock"),
    unlock: (fd) => void checked(raw.flock(fd, LOCKS.unlock), "flock"),
    syncfs: (fd) => void checked(raw.syncfs(fd), "syncfs"),
    allocate: (fd, length) => {
      const result = raw.allocate(fd, length);
      if (result === EOPNOTSUPP || result === ENOSYS) return false;
      return checked(result, "fallocate") === 0;
    },
    scanTree: async (dirfd, options = {}) => scanned(await scan(dirfd, options, true), options),
    scanTreeSync: (dirfd, options = {}) => scanned(atOnce(scan(dirfd, options, false)), options),
    digestRows: async (dirfd, { columns, rows, kept }) => {
      const digests = Buffer.alloc(32 * rows.length);
      const results = new Float64Array(rows.length);
      const call = { dirfd, columns, rows, digests, results, kept: kept.bytes, keptAt: kept.offsets };
      checked(await raw.digestRows(call), "read");
      return { digests, results };
    },
    writeFiles: async (toDirfd, { names, ...batch }) => {
      const results = new Int32Array(names.length);
      checked(await raw.writeFiles({ ...batch, toDirfd, to: names, results, isAsync: true }), "write");
      return results;
    },
    writeFilesSync: (toDirfd, { names, ...batch }) => {
      const results = new Int32Array(names.length);
      checked(atOnce(raw.writeFiles({ ...batch, toDirfd, to: names, results, isAsync: false })), "write");
      return results;
    },
    copyFiles: async (fromDirfd, toDirfd, { copied, ...batch }) => {
      const results = new Int32Array(batch.to.length);
      checked(await raw.copyFiles({ ...batch, ...copied, fromDirfd, toDirfd, results }), "copy");
      return results;
    },
    linkFiles: async (fromDirfd, toDirfd, batch) => {
      const results = new Float64Array(batch.names.length);
      checked(await raw.linkFiles({ ...batch, fromDirfd, toDirfd, results }), "link");
      return results;
    },
    pipe: () => {
      const ends = new Int32Array(2);
      checked(raw.pipe(ends), "pipe");
      const [readEnd = -1, writeEnd = -1] = ends;
      return { readEnd, writeEnd };
    },
    packTree: async (dirfd, plan, isCancelled, output) => {
      const sums = Buffer.alloc(PACK_SUMS_BYTES);
      const place = output?.kind === "pipe" ? JOB_THREAD : JOB_POOL;
      return packed(await pack({ dirfd, isCancelled, sums, place }, plan, output), plan, sums);
    },
    packTreeSync: (dirfd, plan) => {
      const sums = Buffer.alloc(PACK_SUMS_BYTES);
      const call = { dirfd, isCancelled: new Int32Array(1), sums, place: JOB_NOW };
      return packed(atOnce(pack(call, plan)), plan, sums);
    },
    gunzip: async (inputFd, outputFd, isCancelled, blocks) => {
      const sums = Buffer.alloc(GUNZIP_SUMS_BYTES);
      const result = checked(await raw.gunzip({ inputFd, outputFd, isCancelled, blocks, sums }), "gunzip");
      const outcome = result === 0 ? "whole" : result === 1 ? "damaged" : "cut";
      return { outcome, sha256: sums.subarray(0, 32), sizeBytes: Number(sums.readBigUInt64LE(32)) };
    },
    findKnown: (known, columns, base, rows, digests) => {
      const results = new Int32Array(rows.length);
      raw.findKnown({
        known,
        columns,
        base: typeof base === "string" ? encodeName(base) : base,
        rows,
        digests,
        results,
      });
      return results;
    },
    listRows: ({ owners, ...listed }) => raw.listRows({ ...listed, asRoot: owners === "root" }),
    removeTree: async (dirfd, name) => void checked(await raw.removeTree(dirfd, name, true), "rm", name),
    removeTreeSync: (dirfd, name) => void checked(atOnce(raw.removeTree(dirfd, name, false)), "rm", name),
  };
}
