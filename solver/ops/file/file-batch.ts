import { BuildError } from "../../../src/core/errors.ts";
import { mapLimit } from "../../../src/core/limits.ts";
import { SystemError } from "../../../src/native/errno.ts";
import { printableName } from "../../../src/native/names.ts";
import type { MergedTree } from "../tree/merged-tree.ts";
import type { TreeNode } from "../tree/tree-node.ts";
import { isOverlayMark } from "../tree/overlay-marks.ts";
import type { Destination, NewMetadata } from "./destination.ts";
import { shown } from "./destination.ts";

/** Files held back before they are copied. */
const BATCH_FILES = 8192;
/** Files copied by one call to the addon, and calls at a time: making files in different directories scales with processors. */
const CALL_FILES = 512;
const LANES = 2;

interface Pending {
  readonly from: TreeNode;
  /** Relative to the upper directory. */
  readonly to: string;
  readonly metadata: NewMetadata;
}

/**
 * Regular files on their way from one tree into the upper directory, thousands per call. Their names must have been
 * claimed, and their directories made; `flush` before anything needs a file to be there.
 */
export class FileBatch {
  readonly #source: MergedTree;
  readonly #destination: Destination;
  readonly #mutable: boolean;
  #pending: Pending[] = [];
  #names = new Set<string>();

  /** `mutable`: files of the client, which may change at any time; not those of a snapshot. */
  constructor(source: MergedTree, destination: Destination, mutability: "mutable" | "immutable") {
    this.#mutable = mutability === "mutable";
    this.#source = source;
    this.#destination = destination;
  }

  async add(from: TreeNode, to: string, metadata: NewMetadata, signal: AbortSignal): Promise<void> {
    this.#pending.push({ from, to, metadata });
    this.#names.add(to);
    if (this.#pending.length >= BATCH_FILES) await this.flush(signal);
  }

  /** Whether a file of this path is yet to be written. */
  holds(to: string): boolean {
    return this.#names.has(to);
  }

  async flush(signal: AbortSignal): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    this.#names = new Set();
    const calls: { readonly layer: number; readonly files: readonly Pending[] }[] = [];
    for (const [layer, files] of Map.groupBy(pending, ({ from }) => from.layer.layer)) {
      for (let at = 0; at < files.length; at += CALL_FILES)
        calls.push({ layer, files: files.slice(at, at + CALL_FILES) });
    }
    await mapLimit(calls, LANES, signal, ({ layer, files }) => this.#copy(layer, files));
  }

  async #copy(layer: number, files: readonly Pending[]): Promise<void> {
    const { native, upperFd } = this.#destination;
    const sourceFd = this.#source.layerFd(layer);
    const results = await native.copyFiles(sourceFd, upperFd, {
      from: files.map(({ from }) => from.layerPath),
      to: files.map(({ to }) => to),
      modes: Uint32Array.from(files, ({ metadata }) => metadata.mode & 0o7777),
      uids: Uint32Array.from(files, ({ metadata }) => metadata.uid),
      gids: Uint32Array.from(files, ({ metadata }) => metadata.gid),
      mtimesNs: BigInt64Array.from(files, ({ from, metadata }) => metadata.mtimeNs ?? from.mtimeNs),
    });
    for (const [at, { from, to }] of files.entries()) {
      const result = results[at] ?? 0;
      if (result < 0) throw copyFailed(to, new SystemError(result, "copy", from.layerPath, to));
      if (from.hasXattrs) copyXattrs(this.#source, from, this.#destination, to);
    }
    if (this.#mutable) this.#assertUnchanged(sourceFd, files);
  }

  /**
   * The step's key names what the client's files held when they were read for it. Had one changed since, the copy would be
   * kept under the wrong name and be taken for the old content ever after.
   */
  #assertUnchanged(sourceFd: number, files: readonly Pending[]): void {
    for (const { from } of files) {
      const { ctimeNs, size } = from.layer.scan.columns;
      const now = this.#destination.native.tryStatat(sourceFd, from.layerPath);
      if (now !== undefined && now.ctimeNs === ctimeNs[from.index] && now.size === size[from.index]) continue;
      throw new BuildError(
        "solver/copy-failed",
        `Cannot copy ${JSON.stringify(printableName(from.layerPath))}: it has just been changed by something else`,
        { hint: "build again once the files are at rest, or exclude in .dockerignore what a running program writes" },
      );
    }
  }
}

/**
 * Gives a copy the extended attributes of its source. Those that the destination's file system refuses are left out, as
 * BuildKit does: labels of the host's security module, say.
 */
export function copyXattrs(source: MergedTree, from: TreeNode, destination: Destination, to: string): void {
  const { native, upperFd } = destination;
  const sourceFd = source.layerFd(from.layer.layer);
  for (const key of native.listXattrs(sourceFd, from.layerPath)) {
    if (isOverlayMark(key) || key === "security.selinux") continue;
    const value = native.getXattr(sourceFd, from.layerPath, key);
    if (value === undefined) continue;
    try {
      native.setXattr(upperFd, to, key, value);
    } catch (error) {
      if (!(error instanceof SystemError) || !REFUSED.has(error.code)) throw error;
    }
  }
}

const REFUSED: ReadonlySet<string> = new Set(["ENOTSUP", "EOPNOTSUPP", "EPERM", "ENOSPC", "E2BIG"]);

function copyFailed(to: string, cause: SystemError): BuildError {
  if (cause.code === "ENOENT") {
    return new BuildError("solver/copy-failed", `Cannot copy to ${shown(to)}: the source has just been deleted`, {
      hint: "something changes the files while they are copied; exclude it in .dockerignore or build again",
      cause,
    });
  }
  if (cause.code === "ENOSPC" || cause.code === "EDQUOT") {
    return new BuildError("store/full", `Cannot copy to ${shown(to)}: no space left on the disk that holds the store`, {
      hint: 'free space with "kiln prune", or keep the store on another disk with --root',
      cause,
    });
  }
  return new BuildError("solver/copy-failed", `Cannot copy to ${shown(to)}: ${cause.message}`, { cause });
}
