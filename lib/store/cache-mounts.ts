import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { digestOf, hexOf } from "../core/digest.ts";
import { type FileLock, fileLock, type LockCalls, type LockMode, tryFileLock } from "./file-lock.ts";
import type { CacheMountEntry, CacheMounts, ClaimedCacheMount } from "./store.ts";

/*
 * cache-mounts/<hash of id>[.<n>]/
 *   id      the id as text; its change time is the last use
 *   ready   exists once the directory has been seeded
 *   data/   the directory to mount
 * `.1`, `.2`... are further directories, for `private` claims. There are no rows: a cache may vanish at any time.
 * Claims are locks on files among the leases; collection takes them exclusively before it removes a directory.
 */

export function openCacheMounts(deps: {
  readonly directory: string;
  readonly leases: string;
  readonly calls: LockCalls;
  readonly nowMs: () => number;
}): CacheMounts {
  const entryPath = (name: string): string => join(deps.directory, name);
  const open = (id: string, { base, place, lock, mode }: Claimed): ClaimedCacheMount => {
    try {
      const path = entryPath(nameOf(base, place));
      const isNew = prepare(path, id);
      utimesSync(join(path, "id"), deps.nowMs() / 1000, deps.nowMs() / 1000);
      return new Claim(path, place, isNew, lock, mode);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  };
  return {
    async claim(id, sharing, signal) {
      const base = hexOf(digestOf(id)).slice(0, 32);
      if (sharing === "private") return open(id, claimFree(base, deps));
      return open(id, await claimAt(base, 0, sharing === "shared" ? "shared" : "exclusive", deps, signal));
    },
    async claimPlace(id, place, signal) {
      return open(id, await claimAt(hexOf(digestOf(id)).slice(0, 32), place, "exclusive", deps, signal));
    },
    list() {
      return readdirSync(deps.directory)
        .toSorted()
        .flatMap((name) => entryAt(entryPath(name)));
    },
  };
}

/** Returns the lock file that guards a cache directory, for collection. */
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

/** Claims a `private` directory: the first free one, or a new one when all are taken. */
function claimFree(base: string, deps: { readonly leases: string; readonly calls: LockCalls }): Claimed {
  for (let place = 0; ; place += 1) {
    const lock = tryFileLock(deps.calls, claimPath(deps.leases, nameOf(base, place)), "exclusive");
    if (lock !== undefined) return { base, place, lock, mode: "exclusive" };
  }
}

/**
 * Claims a directory. One that is not ready yet is claimed exclusively, whatever the request: one claimer seeds it
 * alone.
 */
async function claimAt(
  base: string,
  place: number,
  wanted: LockMode,
  deps: { readonly directory: string; readonly leases: string; readonly calls: LockCalls },
  signal: AbortSignal,
): Promise<Claimed> {
  const name = nameOf(base, place);
  const isReady = (): boolean => existsSync(join(deps.directory, name, "ready"));
  for (;;) {
    const mode = (): LockMode => (isReady() ? wanted : "exclusive");
    const { lock } = await fileLock(deps.calls, claimPath(deps.leases, name), mode, signal);
    const right = mode();
    if (lock.mode === right) return { base, place, lock, mode: wanted };
    // It became ready, or was collected, between the check and the lock.
    if (right === "shared") {
      lock.share();
      return { base, place, lock, mode: wanted };
    }
    lock[Symbol.dispose]();
  }
}

/**
 * Prepares a directory, under its lock.
 * @returns whether the directory has to be seeded
 */
function prepare(path: string, id: string): boolean {
  if (existsSync(join(path, "ready"))) return false;
  // A claimer that died while seeding left files that no user must see.
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
  if (stat === undefined) return []; // another process is making or removing it
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
