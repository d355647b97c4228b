import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AT_FDCWD, O_DIRECTORY, O_PATH, S_IFCHR, S_IFIFO, S_IFMT } from "../../../lib/native/constants.ts";
import { locateNative } from "../../../lib/native/locate.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { CopyAction, FileAction } from "../../graph/op.ts";
import { plainCopy } from "../../graph/plain-copy.ts";
import { LocalSource } from "../../sources/local/local-source.ts";
import { runFileOp } from "./run-file-op.ts";
import { stackView } from "./stack-view.ts";

/** Time of all files that `plant` makes: 2001-02-03T04:05:06.789Z. */
export const PLANTED_NS = 981_173_106_789_000_000n;

/** Only root may make devices and change owners; other users must skip these tests. */
export const SKIP_UNLESS_ROOT = process.getuid?.() === 0 ? false : "needs root: owners, devices and trusted attributes";

/**
 * Makes files from lines: `d path [mode] [uid:gid]`, `f path [mode] [uid:gid] [=text]`, `l path target`, `h path existing`,
 * `p path`, `c path major:minor`, `w path` (whiteout), `o path` (opaque directory). Missing parents are made.
 */
function plant(native: Native, root: string, lines: readonly string[]): void {
  for (const line of lines) {
    const [type = "", path = "", ...rest] = line.split(" ");
    const at = join(root, path);
    mkdirSync(dirname(at), { recursive: true });
    const text = line.includes("=") ? line.slice(line.indexOf("=") + 1) : path;
    const mode = rest.find((word) => /^[0-7]{3,4}$/.test(word));
    const owner = rest.find((word) => /^\d+:\d+$/.test(word));
    if (type === "d" || type === "o") mkdirSync(at, { recursive: true });
    else if (type === "f") writeFileSync(at, text);
    else if (type === "l") native.symlinkat(rest[0] ?? "", AT_FDCWD, at);
    else if (type === "h") native.linkat(AT_FDCWD, join(root, rest[0] ?? ""), AT_FDCWD, at);
    else if (type === "p") native.mknodat(AT_FDCWD, at, S_IFIFO | 0o644);
    else if (type === "w") native.mknodat(AT_FDCWD, at, S_IFCHR, { major: 0, minor: 0 });
    else if (type === "c") {
      const [major = 0, minor = 0] = (owner ?? "0:0").split(":").map(Number);
      native.mknodat(AT_FDCWD, at, S_IFCHR | 0o600, { major, minor });
    } else throw new Error(`Cannot plant ${line}`);
    if (type === "o") native.setXattr(AT_FDCWD, at, "trusted.overlay.opaque", Buffer.from("y"));
    if (type === "d" || type === "f" || type === "o") {
      const [uid = 0, gid = 0] = (owner ?? "0:0").split(":").map(Number);
      native.fchownat(AT_FDCWD, at, uid, gid);
      native.fchmodat(AT_FDCWD, at, Number.parseInt(mode ?? (type === "f" ? "644" : "755"), 8));
    }
  }
  for (const path of everyPath(native, root)) native.utimensat(AT_FDCWD, join(root, path), PLANTED_NS);
}

/**
 * Lists the files below a directory, one line each, in the form that `plant` takes; `o` for opaque directories, `w` for
 * whiteouts.
 */
export function listing(native: Native, root: string): string[] {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    const scan = native.scanTreeSync(fd, { links: true, xattrs: true });
    const seen = new Map<bigint, string>();
    const lines: string[] = [];
    for (let row = 1; row < scan.count; row += 1) {
      const path = scan.path(row);
      const status = native.statat(fd, path);
      const mode = (status.mode & 0o7777).toString(8);
      const owner = `${status.uid}:${status.gid}`;
      const first = seen.get(status.ino);
      if (status.nlink > 1 && (status.mode & S_IFMT) !== 0o040000) seen.set(status.ino, first ?? path);
      if (first !== undefined) lines.push(`h ${path} ${first}`);
      else if ((status.mode & S_IFMT) === 0o040000) {
        const isOpaque = native.getXattr(fd, path, "trusted.overlay.opaque")?.toString() === "y";
        lines.push(`${isOpaque ? "o" : "d"} ${path} ${mode} ${owner}`);
      } else if ((status.mode & S_IFMT) === 0o120000) lines.push(`l ${path} ${scan.linkTarget(row)} ${owner}`);
      else if ((status.mode & S_IFMT) === 0o010000) lines.push(`p ${path} ${mode} ${owner}`);
      else if ((status.mode & S_IFMT) === S_IFCHR) {
        const isWhiteout = status.rdevMajor === 0 && status.rdevMinor === 0;
        lines.push(isWhiteout ? `w ${path}` : `c ${path} ${mode} ${status.rdevMajor}:${status.rdevMinor}`);
      } else lines.push(`f ${path} ${mode} ${owner} =${readFileSync(join(root, path), "utf8")}`);
    }
    return lines;
  } finally {
    native.close(fd);
  }
}

/**
 * A context, layers (lowest first) and an upper directory in a temporary folder, with a method to run actions on them.
 */
export class FileBench implements Disposable {
  readonly native = locateNative();
  readonly root = mkdtempSync(join(tmpdir(), "kiln-file-"));
  readonly upper = join(this.root, "upper");
  readonly context = join(this.root, "context");
  readonly layers: string[] = [];
  readonly sources: string[] = [];

  constructor() {
    mkdirSync(this.upper);
    mkdirSync(this.context);
  }

  plantContext(lines: readonly string[]): this {
    plant(this.native, this.context, lines);
    return this;
  }

  layer(lines: readonly string[]): this {
    const path = join(this.root, `layer${this.layers.length}`);
    mkdirSync(path);
    plant(this.native, path, lines);
    this.layers.push(path);
    return this;
  }

  /** Adds a layer to the stage that `COPY --from` reads. */
  source(lines: readonly string[]): this {
    const path = join(this.root, `source${this.sources.length}`);
    mkdirSync(path);
    plant(this.native, path, lines);
    this.sources.push(path);
    return this;
  }

  /** Runs actions. Copies come from the context, or from the stage when one was given. */
  async run(actions: readonly FileAction[], excludes: readonly string[] = []): Promise<string[]> {
    const { native } = this;
    const index = { load: () => undefined, save: () => {} };
    const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;
    using local = new LocalSource({ native, directory: this.context, index, nowNs });
    const directories = this.sources.length === 0 ? [this.context] : this.sources.toReversed();
    using stage = stackView({ native, directories, marks: "trusted", name: "stage" });
    const view = this.sources.length === 0 ? local.view(excludes) : stage;
    await runFileOp(
      { kind: "file", base: "input", actions },
      {
        directories: [this.upper, ...this.layers.toReversed()],
        marks: "trusted",
        source: () => view,
        selected: () => undefined,
      },
      { native },
      new AbortController().signal,
    );
    return listing(native, this.upper);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Makes `COPY source destination` as the frontend does, with changes. */
export function copyAction(source: string, destination: string, changes: Partial<CopyAction> = {}): CopyAction {
  return plainCopy({ input: 1, source, destination, wildcard: true, keepOwner: false, ...changes });
}

/** Lists paths deepest first, so that setting one time does not change another. */
function everyPath(native: Native, root: string): string[] {
  const fd = native.openPath(root, O_PATH | O_DIRECTORY);
  try {
    const scan = native.scanTreeSync(fd);
    return Array.from({ length: scan.count }, (_, row) => scan.path(row)).toReversed();
  } finally {
    native.close(fd);
  }
}
