import { mkdirSync } from "node:fs";
import { O_DIRECTORY, O_RDONLY } from "../native/constants.ts";
import type { Native } from "../native/native.ts";
import type { ContextSource } from "../../frontend/convert/resolver.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { RemoteSource } from "../../solver/ports.ts";

/** What finding out a source's date may use. */
export interface SourceDateDeps {
  readonly native: Native;
  readonly git: RemoteSource<GitOp>;
  readonly http: RemoteSource<HttpOp>;
  /** A new directory that is removed when the build ends. */
  scratchDirectory(): string;
  /** Of the build context, where it came from somewhere that has dates. */
  contextDate(signal: AbortSignal): Promise<number | undefined>;
}

/**
 * Seconds since 1970 at which a source was last changed, for a SOURCE_DATE_EPOCH that names one: a commit's time, the
 * Last-Modified of a URL. Directories of this machine and images have no date of their own.
 */
export async function sourceDate(
  source: ContextSource,
  on: SourceDateDeps,
  signal: AbortSignal,
): Promise<number | undefined> {
  switch (source.kind) {
    case "git":
      return commitDate(source, on, signal);
    case "http": {
      const { parts } = await on.http.find(source, signal);
      const seconds = Number(parts.find((part) => part.name === "modified")?.value ?? 0);
      return seconds > 0 ? seconds : undefined;
    }
    case "local":
      return source.name === "context" ? on.contextDate(signal) : undefined;
    case "image":
    case "scratch":
      return undefined;
    default:
      return source satisfies never;
  }
}

/** The time of the commit that a repository's ref names now. */
export async function commitDate(
  op: GitOp,
  on: Pick<SourceDateDeps, "native" | "git" | "scratchDirectory">,
  signal: AbortSignal,
): Promise<number | undefined> {
  const directory = `${on.scratchDirectory()}/dated`;
  mkdirSync(directory);
  // Checked out with the commit's time on every file, which then tells it.
  const plain = { ...op, mtime: "commit", keepGitDir: false, submodules: false, subdir: undefined } as const;
  await (await on.git.find(plain, signal)).writeTo(directory, signal);
  return newestFile(directory, on.native);
}

/** The latest time of anything in a directory; `undefined` for an empty one. */
export async function newestFile(directory: string, native: Native): Promise<number | undefined> {
  const fd = native.openPath(directory, O_RDONLY | O_DIRECTORY);
  try {
    const { columns } = await native.scanTree(fd);
    const [newest] = columns.mtimeNs.slice(1).toSorted().toReversed();
    return newest === undefined ? undefined : Number(newest / 1_000_000_000n);
  } finally {
    native.close(fd);
  }
}
