import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import { RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS } from "../../../lib/native/constants.ts";
import { SystemError } from "../../../lib/native/errno.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { FileMetadata, KeptBytes } from "../../../lib/native/native.ts";
import { wholeSecond } from "../../../lib/tar/entry.ts";
import { isCarriedAttribute } from "../../../lib/tree/carried-attributes.ts";
import type { FileContents, SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { hasMoved, MovedSourceError } from "../../../lib/tree/moved-source.ts";
import type { CopiedContents } from "./copied-contents.ts";
import type { Destination, NewMetadata } from "./destination.ts";
import { shown } from "./destination.ts";

/**
 * An earlier result of the same copy to share files with. Both are layers that nothing writes to after their commit:
 * overlayfs copies a file up before a command changes it, and file operations only ever make new files.
 */
export interface EarlierCopy {
  /** Descriptor of the earlier layer's directory. */
  readonly fd: number;
  /**
   * Tells whether a file of the source has the same content as then. Its metadata is compared with the earlier copy
   * itself.
   */
  isSame(node: TreeNode): boolean;
}

/** Files collected before they are copied. */
const BATCH_FILES = 8192;
/**
 * Files per call to the addon. The next limit is concurrent calls: creating files in different directories scales with
 * processors.
 */
const CALL_FILES = 512;
const LANES = 2;
const DIGEST_BYTES = 32;

interface Pending {
  readonly from: TreeNode;
  /** Path relative to the upper directory. */
  readonly to: string;
  readonly metadata: NewMetadata;
}

/**
 * Regular files to be copied into the upper directory, thousands per call. Their names must have been claimed, and
 * their directories made. Call `flush` before anything needs a file to exist.
 */
export class FileBatch {
  readonly #source: Pick<SourceView, "tree" | "owners">;
  readonly #destination: Destination;
  readonly #copied: CopiedContents | undefined;
  readonly #earlier: EarlierCopy | undefined;
  readonly #kept: FileContents["kept"] | undefined;
  /** Inodes shared with the earlier copy. */
  readonly #shared = new Set<number>();
  #pending: Pending[] = [];
  #names = new Set<string>();

  constructor(
    source: Pick<SourceView, "tree" | "owners">,
    destination: Destination,
    from: {
      /**
       * Records the content of copied files that may change at any time: those of the client, not those of a snapshot.
       */
      readonly copied: CopiedContents | undefined;
      readonly earlier: EarlierCopy | undefined;
      /** Contents of source files that are in memory. */
      readonly kept: FileContents["kept"] | undefined;
    },
  ) {
    this.#earlier = from.earlier;
    this.#kept = from.kept;
    this.#copied = from.copied;
    this.#source = source;
    this.#destination = destination;
  }

  async add(from: TreeNode, target: string, metadata: NewMetadata, signal: AbortSignal): Promise<void> {
    this.#pending.push({ from, to: target, metadata });
    this.#names.add(target);
    if (this.#pending.length >= BATCH_FILES) await this.flush(signal);
  }

  /** Tells whether a file with this path is still to be written. */
  holds(target: string): boolean {
    return this.#names.has(target);
  }

  async flush(signal: AbortSignal): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    this.#names = new Set();
    const toCopy = this.#earlier === undefined ? pending : await this.#share(pending, this.#earlier, signal);
    const calls: (() => Promise<void>)[] = [];
    for (const [scan, files] of Map.groupBy(toCopy, ({ from }) => from.layer)) {
      const kept = this.#kept?.get(scan);
      const isKept = ({ from }: Pending): boolean => (kept?.offsets[from.index] ?? -1) >= 0;
      const { here = [], there = [] } = Object.groupBy(files, (file) => (isKept(file) ? "here" : "there"));
      for (const part of parts(here)) if (kept !== undefined) calls.push(() => this.#write(kept, part));
      for (const part of parts(there)) calls.push(() => this.#copy(scan.layer, part));
    }
    await mapLimit(calls, LANES, signal, (call) => call());
  }

  async #write(kept: KeptBytes, files: readonly Pending[]): Promise<void> {
    const { native, upperFd } = this.#destination;
    const results = await native.writeFiles(upperFd, {
      names: files.map(({ to }) => to),
      data: kept.bytes,
      offsets: Float64Array.from(files, ({ from }) => kept.offsets[from.index] ?? -1),
      sizes: Float64Array.from(files, ({ from }) => from.sizeBytes),
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
      ...metadataOf(files),
    });
    this.#finish(files, results, "write");
  }

  /** Hard-links files that the earlier layer has with the same metadata, and returns the rest. */
  async #share(pending: readonly Pending[], earlier: EarlierCopy, signal: AbortSignal): Promise<readonly Pending[]> {
    const { native, upperFd } = this.#destination;
    const rest: Pending[] = [];
    const same: Pending[] = [];
    for (const file of pending) {
      const { from } = file;
      (from.nlink === 1 && !from.hasXattrs && earlier.isSame(from) ? same : rest).push(file);
    }
    await mapLimit(parts(same), LANES, signal, async (files) => {
      const results = await native.linkFiles(earlier.fd, upperFd, {
        names: files.map(({ to }) => to),
        sizes: Float64Array.from(files, ({ from }) => from.sizeBytes),
        ...metadataOf(files),
      });
      for (const [at, file] of files.entries()) {
        const inode = results[at] ?? -1;
        if (inode >= 0 && !this.#shared.has(inode)) {
          this.#shared.add(inode);
          continue;
        }
        // The two were one file in the earlier layer, and are two now.
        if (inode >= 0) native.unlinkat(upperFd, file.to);
        // Whatever the reason (another time, too many links, a layer that is being collected): copying works as well.
        rest.push(file);
      }
    });
    return rest;
  }

  async #copy(layer: number, files: readonly Pending[]): Promise<void> {
    const { native, upperFd } = this.#destination;
    const sourceFd = this.#source.tree.layerFd(layer);
    // The step's key contains the digests of the client's files at selection. If one has changed since, the copy would
    // be stored under the wrong key and be taken for the old content ever after.
    const copied = { digests: Buffer.alloc(files.length * DIGEST_BYTES), sizes: new Float64Array(files.length) };
    const results = await native.copyFiles(sourceFd, upperFd, {
      from: files.map(({ from }) => from.layerPath),
      to: files.map(({ to }) => to),
      ...metadataOf(files),
      copied: this.#copied === undefined ? undefined : copied,
    });
    this.#finish(files, results, "copy");
    const { digests, sizes } = copied;
    for (const [at, { from }] of files.entries()) {
      this.#copied?.note(from, digests.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES), sizes[at] ?? 0);
    }
  }

  #finish(files: readonly Pending[], results: Int32Array, syscall: "copy" | "write"): void {
    for (const [at, { from, to }] of files.entries()) {
      const result = results[at] ?? 0;
      if (result < 0) throw copyFailed(to, from.layerPath, new SystemError(result, syscall, from.layerPath, to));
      if (from.hasXattrs) copyXattrs(this.#source, from, this.#destination, to);
    }
  }
}

/**
 * Copies the extended attributes that travel with a file. Those that the destination's file system refuses are left
 * out, as in BuildKit.
 */
export function copyXattrs(
  source: Pick<SourceView, "tree" | "owners">,
  from: TreeNode,
  destination: Destination,
  target: string,
): void {
  const { native, upperFd } = destination;
  const sourceFd = source.tree.layerFd(from.layer.layer);
  for (const key of native.listXattrs(sourceFd, from.layerPath)) {
    if (!isCarriedAttribute(key, source.owners)) continue;
    const value = native.getXattr(sourceFd, from.layerPath, key);
    if (value === undefined) continue;
    try {
      native.setXattr(upperFd, target, key, value);
    } catch (error) {
      if (!(error instanceof SystemError) || !REFUSED.has(error.code)) throw error;
    }
  }
}

function parts(files: readonly Pending[]): readonly (readonly Pending[])[] {
  const found: (readonly Pending[])[] = [];
  for (let at = 0; at < files.length; at += CALL_FILES) found.push(files.slice(at, at + CALL_FILES));
  return found;
}

const REFUSED: ReadonlySet<string> = new Set(["ENOTSUP", "EOPNOTSUPP", "EPERM", "ENOSPC", "E2BIG"]);

function metadataOf(files: readonly Pending[]): FileMetadata {
  return {
    modes: Uint32Array.from(files, ({ metadata }) => metadata.mode & 0o7777),
    uids: Uint32Array.from(files, ({ metadata }) => metadata.uid),
    gids: Uint32Array.from(files, ({ metadata }) => metadata.gid),
    mtimesNs: BigInt64Array.from(files, ({ from, metadata }) => wholeSecond(metadata.mtimeNs ?? from.mtimeNs)),
  };
}

/** @param from the file's path in the source */
export function copyFailed(target: string, from: string, cause: SystemError): BuildError {
  if (hasMoved(cause)) {
    const what = cause.code === "ENOENT" ? "deleted" : "replaced";
    return new MovedSourceError(
      new BuildError(
        "solver/copy-failed",
        `Cannot copy ${JSON.stringify(printableName(from))}: something else has just ${what} it`,
        {
          hint: "build again once the files are at rest, or exclude in .dockerignore what a running program writes",
          cause,
        },
      ),
    );
  }
  if (cause.code === "ENOSPC" || cause.code === "EDQUOT") {
    return new BuildError(
      "store/full",
      `Cannot copy to ${shown(target)}: no space left on the disk that holds the store`,
      {
        hint: 'free space with "kiln prune", or keep the store on another disk with --root',
        cause,
      },
    );
  }
  return new BuildError("solver/copy-failed", `Cannot copy to ${shown(target)}: ${cause.message}`, { cause });
}
