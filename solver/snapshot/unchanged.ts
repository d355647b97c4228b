import { readSync } from "node:fs";
import { O_DIRECTORY, O_PATH, RESOLVE_BENEATH, S_IFDIR, S_IFMT, S_IFREG } from "../../lib/native/constants.ts";
import type { FileStatus, Native } from "../../lib/native/native.ts";
import { isOpaque, isOverlayMark, type Marks } from "../../lib/tree/overlay-marks.ts";

export interface LowerOptions {
  readonly native: Native;
  readonly marks: Marks;
  /** Layers below the changes, topmost first. */
  readonly lowers: readonly string[];
}

type Metadata = Pick<FileStatus, "mode" | "uid" | "gid" | "size" | "mtimeNs" | "nlink">;

/**
 * Layers below a step's changes. A file that a step only opened for writing, or gave the owner that it had, is copied up by
 * overlayfs, and in a plain tree its change time is new or not even that. Like BuildKit, we leave it out of the layer.
 */
export class LowerLayers implements Disposable {
  readonly #native: Native;
  readonly #marks: Marks;
  readonly #fds: readonly number[];

  constructor({ native, marks, lowers }: LowerOptions) {
    this.#native = native;
    this.#marks = marks;
    this.#fds = lowers.map((path) => native.openPath(path, O_PATH | O_DIRECTORY));
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) this.#native.close(fd);
  }

  /**
   * Tells whether a regular file or a directory is what the layers below have under its path: the same type, mode, owner,
   * time, attributes and bytes. What a directory holds does not count. In doubt it is not.
   */
  has(fd: number, path: string, status: Metadata): boolean {
    const native = this.#native;
    const type = status.mode & S_IFMT;
    if (type !== S_IFDIR && (type !== S_IFREG || status.nlink !== 1)) return false;
    const below = this.#find(path);
    if (below === undefined || !isAlike(status, below.status)) return false;
    if (this.#attributes(fd, path) !== this.#attributes(below.fd, path)) return false;
    return type === S_IFDIR || sameBytes(native, path, [fd, below.fd]);
  }

  #find(path: string): { readonly fd: number; readonly status: FileStatus } | undefined {
    for (const fd of this.#fds) {
      const parents = this.#parents(fd, path);
      if (parents === "other") return undefined;
      const status = this.#native.tryStatat(fd, path);
      if (status !== undefined) return { fd, status };
      if (parents === "opaque") return undefined;
    }
    return undefined;
  }

  /** Looks at what a layer has in place of a path's parents. A link is never followed. */
  #parents(fd: number, path: string): "merged" | "opaque" | "missing" | "other" {
    let found: "merged" | "opaque" = "merged";
    for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
      const parent = path.slice(0, slash);
      const status = this.#native.tryStatat(fd, parent);
      if (status === undefined) return found === "opaque" ? "opaque" : "missing";
      if ((status.mode & S_IFMT) !== S_IFDIR) return "other";
      if (isOpaque(this.#native, fd, parent, this.#marks)) found = "opaque";
    }
    return found;
  }

  #attributes(fd: number, path: string): string {
    const native = this.#native;
    const keys = native.listXattrs(fd, path).filter((key) => !isOverlayMark(key));
    return JSON.stringify(keys.toSorted().map((key) => [key, native.getXattr(fd, path, key)?.toString("hex")]));
  }
}

/**
 * Takes out of an upper directory of overlayfs what was only copied up. Directories keep their times. Links stay, and files
 * of lower layers with several names: the kernel does not tell where they are from.
 */
export function dropUnchanged(upper: string, { native, marks, lowers }: LowerOptions): void {
  const fd = native.openPath(upper, O_PATH | O_DIRECTORY);
  try {
    const scan = native.scanTreeSync(fd, { xattrs: true });
    const { mode, parent, mtimeNs } = scan.columns;
    const candidates = new Set<number>();
    const closed = new Set<number>();
    for (let row = 1; row < scan.count; row += 1) {
      const above = parent[row] ?? 0;
      // Nothing below shows through an opaque directory.
      if (closed.has(above)) closed.add(row);
      else if (scan.hasXattrs(row)) {
        const path = scan.path(row);
        if (isOpaque(native, fd, path, marks)) closed.add(row);
        else if (native.getXattr(fd, path, `${marks}.overlay.origin`) !== undefined) candidates.add(row);
      }
    }
    if (candidates.size === 0) return;
    using layers = new LowerLayers({ native, marks, lowers });
    const held = new Uint32Array(scan.count);
    for (const above of parent) if (above >= 0) held[above] = (held[above] ?? 0) + 1;
    const changed = new Set<number>();
    for (const row of [...candidates].toReversed()) {
      const isTree = ((mode[row] ?? 0) & S_IFMT) === S_IFDIR;
      if (isTree && (held[row] ?? 0) > 0) continue;
      const path = scan.path(row);
      const status = { ...native.statat(fd, path), mtimeNs: mtimeNs[row] ?? 0n };
      if (!layers.has(fd, path, status)) continue;
      if (isTree) native.removeTreeSync(fd, path);
      else native.unlinkat(fd, path);
      const above = parent[row] ?? 0;
      held[above] = (held[above] ?? 1) - 1;
      changed.add(above);
      changed.delete(row);
    }
    for (const row of changed) native.utimensat(fd, row === 0 ? "" : scan.path(row), mtimeNs[row] ?? 0n);
  } finally {
    native.close(fd);
  }
}

function isAlike(left: Metadata, right: Metadata): boolean {
  const isTree = (left.mode & S_IFMT) === S_IFDIR;
  return (
    left.mode === right.mode &&
    left.uid === right.uid &&
    left.gid === right.gid &&
    left.mtimeNs === right.mtimeNs &&
    (isTree || left.size === right.size)
  );
}

const CHUNK = 1 << 16;

function sameBytes(native: Native, path: string, [left, right]: readonly [number, number]): boolean {
  const files = [left, right].map((fd) => native.openat2(fd, path, { flags: 0, resolve: RESOLVE_BENEATH }));
  const buffers = files.map(() => Buffer.alloc(CHUNK));
  try {
    for (let at = 0; ; at += CHUNK) {
      const [first, second] = files.map((file, index) => {
        const buffer = buffers[index] ?? Buffer.alloc(CHUNK);
        return buffer.subarray(0, readSync(file, buffer, 0, CHUNK, at));
      });
      if (first === undefined || second === undefined || !first.equals(second)) return false;
      if (first.length < CHUNK) return true;
    }
  } finally {
    for (const file of files) native.close(file);
  }
}
