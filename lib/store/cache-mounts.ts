import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
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
  const open = (id: string, { base, place, lock, mode }: Claimed): ClaimedCacheMount => {
    try {
      const path = entryPath(nameOf(base, place));
      const isNew = prepare(path, id);
      utimesSync(join(path, "id"), at.nowMs() / 1000, at.nowMs() / 1000);
      return new Claim(path, place, isNew, lock, mode);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  };
  return {
    async claim(id, sharing, signal) {
      const base = hexOf(digestOf(id)).slice(0, 32);
      if (sharing === "private") return open(id, claimFree(base, at));
      return open(id, await claimAt(base, 0, sharing === "shared" ? "shared" : "exclusive", at, signal));
    },
    async claimPlace(id, place, signal) {
      return open(id, await claimAt(hexOf(digestOf(id)).slice(0, 32), place, "exclusive", at, signal));
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

function nameOf(base: string, place: number): string {
  return place === 0 ? base : `${base}.${place}`;
}

interface Claimed {
  readonly base: string;
  readonly place: number;
  readonly lock: FileLock;
  readonly mode: LockMode;
}

/** `private`: the first directory that nobody has, made when all are taken. */
function claimFree(base: string, at: { readonly leases: string; readonly calls: LockCalls }): Claimed {
  for (let place = 0; ; place += 1) {
    const lock = tryFileLock(at.calls, claimPath(at.leases, nameOf(base, place)), "exclusive");
    if (lock !== undefined) return { base, place, lock, mode: "exclusive" };
  }
}

/** A directory that is not ready yet is claimed exclusively whatever was asked for: somebody has to seed it, alone. */
async function claimAt(
  base: string,
  place: number,
  wanted: LockMode,
  at: { readonly directory: string; readonly leases: string; readonly calls: LockCalls },
  signal: AbortSignal,
): Promise<Claimed> {
  const name = nameOf(base, place);
  const isReady = (): boolean => existsSync(join(at.directory, name, "ready"));
  for (;;) {
    const mode = (): LockMode => (isReady() ? wanted : "exclusive");
    const { lock } = await fileLock(at.calls, claimPath(at.leases, name), mode, signal);
    const right = mode();
    if (lock.mode === right) return { base, place, lock, mode: wanted };
    // It became ready between the question and the lock, or was collected.
    if (right === "shared") {
      lock.share();
      return { base, place, lock, mode: wanted };
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
  readonly place: number;
  readonly isNew: boolean;
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #mode: LockMode;

  constructor(path: string, place: number, isNew: boolean, lock: FileLock, mode: LockMode) {
    this.#path = path;
    this.place = place;
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
      place: Number(basename(path).split(".")[1] ?? 0),
      directory: join(path, "data"),
      createdAtMs: statSync(path).birthtimeMs,
      lastUsedMs: stat.mtimeMs,
    },
  ];
}
