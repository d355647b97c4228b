import { closeSync, openSync } from "node:fs";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { systemHint } from "../core/system-hints.ts";

/**
 * Turns errors of the store's files and database into store errors: a full disk, a busy or broken database. Any other
 * error is returned unchanged. `doing` completes "Cannot ...", as in `write blob "sha256:..."`.
 */
export function storeFailure(doing: string, error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const errno = errnoOf(error);
  if (errno === "ENOSPC" || errno === "EDQUOT" || isFull(error)) {
    return new BuildError("store/full", `Cannot ${doing}: no space left on the disk that holds the store`, {
      hint: 'free space with "kiln prune", or keep the store on another disk with --root',
      cause: error,
    });
  }
  switch (sqliteCode(error)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new BuildError("store/locked", `Cannot ${doing}: another process keeps the store's database locked`, {
        hint: "wait for the other kiln process to finish, or end it",
        cause: error,
      });
    case SQLITE_ERROR: // a table or column is missing
    case SQLITE_CONSTRAINT:
    case SQLITE_FORMAT:
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new BuildError("store/corrupt", `Cannot ${doing}: the store's database is damaged (${messageOf(error)})`, {
        hint: 'move the file "kiln.db" away: everything it knew is built or pulled again',
        cause: error,
      });
    case SQLITE_PERM:
    case SQLITE_NOMEM:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return new BuildError("store/unusable", `Cannot ${doing}: ${messageOf(error)}`, {
        hint: isOutOfFiles()
          ? systemHint("EMFILE")
          : "check the owner of the store's directory, or choose another with --root",
        cause: error,
      });
    default:
      return error;
  }
}

/** Runs `work`, which only uses the store, and turns its failures into store errors. */
export function guarded<T>(doing: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw ownFailure(doing, error);
  }
}

/** Does the same as `storeFailure` for code that only touches the store's own files. */
export function ownFailure(doing: string, error: unknown): unknown {
  const failure = storeFailure(doing, error);
  // Map the remaining system errors: a broken disk, wrong permissions, a missing directory.
  if (failure instanceof BuildError || !/^E(?!RR_)/.test(errnoOf(failure) ?? "")) return failure;
  return new BuildError("store/unusable", `Cannot ${doing}: ${messageOf(error)}`, {
    // The reader's own file system and its disk are told about by their errors' own hints.
    hint: ["EROFS", "EIO", "EUCLEAN"].includes(errnoOf(error) ?? "")
      ? undefined
      : "check the disk and the owner of the store's directory, or choose another with --root",
    cause: error,
  });
}

/**
 * Tells whether the process ran out of files. SQLite does not report why it could not open its database, log or shared
 * memory, and each needs a file.
 */
function isOutOfFiles(): boolean {
  const opened: number[] = [];
  try {
    while (opened.length < 4) opened.push(openSync("/dev/null", "r"));
    return false;
  } catch (error) {
    return isFileLimit(error);
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}

function isFileLimit(error: unknown): boolean {
  return ["EMFILE", "ENFILE"].includes(errnoOf(error) ?? "");
}

// Primary result codes, https://www.sqlite.org/rescode.html: the low byte of node:sqlite's `errcode`.
const SQLITE_ERROR = 1;
const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_NOMEM = 7;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_CONSTRAINT = 19;
const SQLITE_FORMAT = 24;
const SQLITE_NOTADB = 26;

// Extended code of SQLITE_IOERR: the shared-memory file beside the database could not grow to the needed size.
const SQLITE_IOERR_SHMSIZE = 4874;

function isFull(error: unknown): boolean {
  return sqliteCode(error) === SQLITE_FULL || extendedCode(error) === SQLITE_IOERR_SHMSIZE;
}

function sqliteCode(error: unknown): number | undefined {
  const code = extendedCode(error);
  return code === undefined ? undefined : code & 0xff;
}

function extendedCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : undefined;
}
