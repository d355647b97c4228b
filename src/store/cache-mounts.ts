import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf, hexOf } from "../core/digest.ts";
import { type FileLock, fileLock, type LockCalls, type LockMode, tryFileLock } from "./file-lock.ts";
import type { CacheMountEntry, CacheMounts, ClaimedCacheMount } from "./store.ts";

/*
 * cache-mounts/<hash of id>[.<n>]/
 *   id      the id as text; its change time is the last use
 *   ready   there once the directory has been seeded
 *   data/   what is mounted
 * `.1`, `.2`... are the further directories of `private` claims. There are no rows: a cache may vanish at any time.
 * Claims are locks on files among the leases, which collection takes exclusively before it removes a directory.
 */

export function openCacheMounts(at: {
  readonly directory: string;
  readonly leases: string;
  readonly calls: LockCalls;
  readonly nowMs: () => number;
}): CacheMounts {
  const entryPath = (name: string): string => join(at.directory, name);
  return {
    async claim(id, sharing, signal) {
      const base = hexOf(digestOf(id)).slice(0, 32);
      const { name, lock, mode } =
        sharing === "private"
          ? claimFree(base, at)
          : await claimFirst(base, sharing === "shared" ? "shared" : "exclusive", at, signal);
      try {
        const path = entryPath(name);
        const isNew = prepare(path, id);
        utimesSync(join(path, "id"), at.nowMs() / 1000, at.nowMs() / 1000);
        return new Claim(path, isNew, lock, mode);
      } catch (error) {
        lock[Symbol.dispose]();
        throw error;
      }
    },
    list() {
      return readdirSync(at.directory)
        .toSorted()
        .flatMap((name) => entryAt(entryPath(name)));
    },
  };
}

/** The lock file that guards a cache directory, for collection. */
export function claimPath(leases: string, name: string): string {
  return join(leases, `cache-${name}`);
}

interface Claimed {
  readonly name: string;
  readonly lock: FileLock;
  readonly mode: LockMode;
}

/** `private`: the first directory that nobody has, made when all are taken. */
function claimFree(base: string, at: { readonly leases: string; readonly calls: LockCalls }): Claimed {
  for (let n = 0; ; n += 1) {
    const name = n === 0 ? base : `${base}.${n}`;
    const lock = tryFileLock(at.calls, claimPath(at.leases, name), "exclusive");
    if (lock !== undefined) return { name, lock, mode: "exclusive" };
  }
}

/** A directory that is not ready yet is claimed exclusively whatever was asked for: somebody has to seed it, alone. */
async function claimFirst(
  name: string,
  wanted: LockMode,
  at: { readonly directory: string; readonly leases: string; readonly calls: LockCalls },
  signal: AbortSignal,
): Promise<Claimed> {
  const isReady = (): boolean => existsSync(join(at.directory, name, "ready"));
  for (;;) {
    const mode = (): LockMode => (isReady() ? wanted : "exclusive");
    const { lock } = await fileLock(at.calls, claimPath(at.leases, name), mode, signal);
    const right = mode();
    if (lock.mode === right) return { name, lock, mode: wanted };
    // It became ready between the question and the lock, or was collected.
    if (right === "shared") {
      lock.share();
      return { name, lock, mode: wanted };
    }
    lock[Symbol.dispose]();
  }
}

/** Called with the lock. @returns whether the directory has to be seeded. */
function prepare(path: string, id: string): boolean {
  if (existsSync(join(path, "ready"))) return false;
  // What a claimer left that died while seeding is not what a user may see.
  rmSync(path, { recursive: true, force: true });
  mkdirSync(join(path, "data"), { recursive: true, mode: 0o700 });
  writeFileSync(join(path, "id"), id, { mode: 0o600 });
  return true;
}

class Claim implements ClaimedCacheMount {
  readonly directory: string;
  readonly isNew: boolean;
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #mode: LockMode;

  constructor(path: string, isNew: boolean, lock: FileLock, mode: LockMode) {
    this.#path = path;
    this.directory = join(path, "data");
    this.isNew = isNew;
    this.#lock = lock;
    this.#mode = mode;
  }

  seeded(): void {
    writeFileSync(join(this.#path, "ready"), "", { mode: 0o600 });
    if (this.#mode === "shared") this.#lock.share();
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}

function entryAt(path: string): CacheMountEntry[] {
  const idPath = join(path, "id");
  const stat = statSync(idPath, { throwIfNoEntry: false });
  if (stat === undefined) return []; // being made, or being removed
  return [
    {
      id: readFileSync(idPath, "utf8"),
      directory: join(path, "data"),
      createdAtMs: statSync(path).birthtimeMs,
      lastUsedMs: stat.mtimeMs,
    },
  ];
}
