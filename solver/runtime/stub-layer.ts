import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf } from "../../lib/core/errors.ts";

/** A mount point the tree may lack. Absolute and clean (no "." or ".."). */
export interface MountPoint {
  readonly target: string;
  /** `open directory`: one with the mode of /tmp, which a tmpfs on it then has. */
  readonly kind: "directory" | "open directory" | "file";
}

/** A directory of empty mount points, to lie below all layers of an overlay. */
export interface StubLayer {
  /** Host path. */
  readonly path: string;
  readonly points: readonly MountPoint[];
}

/** Names the stub layer with the given mount points. Equal lists, in any order, have one path. */
export function stubLayer(directory: string, points: readonly MountPoint[]): StubLayer {
  const key = points
    .map(({ target, kind }) => `${kind} ${target}\0`)
    .toSorted()
    .join("");
  return { path: join(directory, createHash("sha256").update(key).digest("hex").slice(0, 32)), points };
}

/**
 * Makes stub layers. Where the image lacks a mount point it shines through from there; nothing is written to the image's
 * own layers, so nothing has to be cleaned up or hidden from the layer that is packed. A stub layer is made on first use,
 * shared with other processes, and never changed.
 */
export class StubLayers {
  readonly directory: string;
  readonly #made = new Set<string>();

  constructor(directory: string) {
    this.directory = directory;
  }

  make({ path, points }: StubLayer): void {
    if (this.#made.has(path)) return;
    if (!existsSync(path)) this.#make(path, points);
    this.#made.add(path);
  }

  #make(path: string, points: readonly MountPoint[]): void {
    mkdirSync(this.directory, { recursive: true });
    const draft = mkdtempSync(`${path}.`);
    for (const { target, kind } of points) makePoint(draft, target, kind);
    setEpoch(draft, points);
    try {
      renameSync(draft, path);
    } catch (error) {
      // Another kiln made the same one in the meantime; theirs is as good.
      if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
      rmSync(draft, { recursive: true });
    }
  }
}

/** Two mounts may disagree about one path (a file here, a directory there): the first wins, the runtime reports it. */
function makePoint(root: string, target: string, kind: MountPoint["kind"]): void {
  try {
    if (kind !== "file") {
      mkdirSync(join(root, target), { recursive: true, mode: 0o755 });
      if (kind === "open directory") chmodSync(join(root, target), 0o1777);
    } else {
      mkdirSync(join(root, dirname(target)), { recursive: true, mode: 0o755 });
      writeFileSync(join(root, target), "", { mode: 0o644, flag: "a" });
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "EEXIST" && code !== "ENOTDIR" && code !== "EISDIR") throw error;
  }
}

/** A fixed time: a command that copies a directory of ours with its times must not make its layer differ. */
function setEpoch(root: string, points: readonly MountPoint[]): void {
  const paths = new Set([root]);
  for (const { target } of points) {
    for (let path = target; path !== "/" && path !== "."; path = dirname(path)) paths.add(join(root, path));
  }
  const deepestFirst = [...paths].toSorted((a, b) => b.length - a.length);
  for (const path of deepestFirst) if (existsSync(path)) utimesSync(path, 0, 0);
}
