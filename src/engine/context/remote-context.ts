import { closeSync, fstatSync, mkdirSync, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import { type GitUrl, hubUrl, parseGitUrl } from "../../../lib/core/git-url.ts";
import { Digester, hexOf } from "../../../lib/core/digest.ts";
import { decodeSource } from "../../../lib/core/decode-source.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import { O_DIRECTORY, O_NONBLOCK, O_PATH, O_RDONLY, RESOLVE_IN_ROOT } from "../../../lib/native/constants.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { unpackArchive } from "../../../lib/tar/unpack.ts";
import type { GitOp } from "../../../solver/graph/op.ts";
import type { FoundSource } from "../../../solver/ports.ts";
import { get } from "../../../solver/sources/http/get.ts";
import { type ContextDeps, type LoadedContext, MAX_DOCKERFILE_BYTES, tooLarge } from "./context-deps.ts";
import { dockerfileNames } from "./context-files.ts";
import { dockerfileText } from "./dockerfile-text.ts";
import { newestFile } from "../source-date.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

/**
 * Loads a stream: a tar is the context; any other content is a Dockerfile with an empty context. `name` is the origin
 * of the bytes; `dockerfile` is the value of `-f`.
 */
export async function fromStream(
  bytes: Readable,
  given: { readonly name: string; readonly dockerfile: string | undefined },
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { kind, stream } = await sniffCompression(bytes, signal);
  const directory = emptyDirectory(deps);
  const head = await peek(stream, 512);
  if (kind === "none" && !isTarHeader(head.first)) {
    if (given.dockerfile !== undefined) {
      throw new BuildError(
        "context/unsupported",
        "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
        { hint: "pipe a tar to use -f with it" },
      );
    }
    const dockerfile = await dockerfileText(Readable.from(head.all), withoutCredentials(given.name), signal);
    return { directory, dockerfile, ignoreFile: undefined, owners: "root" };
  }
  await unpackArchive(decompress(head.all, kind, signal), { native: deps.native, directory }, signal);
  return {
    ...(await unpacked(directory, given.dockerfile, deps, signal)),
    owners: "kept",
    sourceDate: () => newestFile(directory, deps.native),
  };
}

/** Loads a repository's files at one commit. */
export async function fromGit(
  git: GitUrl,
  dockerfile: string | undefined,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { directory, found } = await checkOut(git, deps, signal);
  return {
    ...(await unpacked(directory, dockerfile, deps, signal)),
    owners: "root",
    ...digestOfCommit(found.parts),
    sourceDate: (dateSignal) => found.date(dateSignal),
    commitDate: (dateSignal) => found.date(dateSignal),
  };
}

async function checkOut(
  git: GitUrl,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<{ readonly directory: string; readonly found: FoundSource }> {
  const directory = emptyDirectory(deps);
  const op: GitOp = {
    kind: "git",
    remote: git.remote,
    ref: git.ref,
    subdir: git.subdir,
    keepGitDir: git.keepGitDir === true || deps.keepGitDir,
    submodules: git.submodules ?? true,
    checksum: git.checksum,
    mtime: deps.commitTimes ? "commit" : (git.mtime ?? "checkout"),
    ...(git.fetchByCommit ? { fetchByCommit: true } : {}),
  };
  const found = await deps.git.find(op, signal);
  await found.writeTo(directory, signal);
  return { directory, found };
}

/** Returns the digest of a commit. SHA-256 repositories have longer ids. */
function digestOfCommit(parts: FoundSource["parts"]): Pick<LoadedContext, "digest"> {
  const commit = parts.find(({ name }) => name === "commit")?.value;
  if (commit === undefined) return {};
  return { digest: commit.length === 64 ? { sha256: commit } : { sha1: commit } };
}

function emptyDirectory(deps: ContextDeps): string {
  const directory = `${deps.scratchDirectory()}/context`;
  mkdirSync(directory);
  return directory;
}

/**
 * Loads a context of remote files; its Dockerfile must not lead out of them. Ignore files list files that a client need
 * not send; here everything has been sent, so they do not count, as with BuildKit.
 */
async function unpacked(
  directory: string,
  dockerfile: string | undefined,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<Pick<LoadedContext, "directory" | "dockerfile" | "ignoreFile">> {
  if (dockerfile === "-") {
    const source = await dockerfileText(deps.environment.stdin(), "<stdin>", signal);
    return { directory, dockerfile: source, ignoreFile: undefined };
  }
  for (const name of dockerfileNames(dockerfile)) {
    const source = readInside(directory, name, deps);
    if (source !== undefined) return { directory, dockerfile: source, ignoreFile: undefined };
  }
  const name = dockerfile ?? "Dockerfile";
  throw new BuildError("dockerfile/not-found", `failed to read dockerfile: open ${name}: no such file or directory`, {
    hint: "with a context from elsewhere, -f names a file in it",
  });
}

/** Texts of a repository or an archive, or the one text behind a URL. */
export interface RemoteTexts {
  readonly kind: "tree" | "file";
  readonly texts: readonly SourceText[];
}

/**
 * Reads files of a git repository, or of an archive behind a URL; any other URL is the file itself, and has no names.
 * @param names paths; those that are not there are left out
 */
export async function remoteTexts(
  url: string,
  names: readonly string[],
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<RemoteTexts> {
  const inside = (directory: string): RemoteTexts => ({
    kind: "tree",
    texts: names.flatMap((name) => readInside(directory, name, deps) ?? []),
  });
  const git = parseGitUrl(hubUrl(url) ?? url);
  if (git !== undefined) return inside((await checkOut(git, deps, signal)).directory);
  const { body } = await download(url, deps, signal);
  const { kind, stream } = await sniffCompression(body, signal);
  const { first, all } = await peek(stream, 512);
  if (kind === "none" && !isTarHeader(first)) {
    return { kind: "file", texts: [await dockerfileText(Readable.from(all), withoutCredentials(url), signal)] };
  }
  const directory = emptyDirectory(deps);
  await unpackArchive(decompress(all, kind, signal), { native: deps.native, directory }, signal);
  return inside(directory);
}

/** Reads a regular file, following symlinks inside the directory; `undefined` when there is none. */
export function readInside(directory: string, name: string, { native }: ContextDeps): SourceText | undefined {
  const root = native.openPath(directory, O_PATH | O_DIRECTORY);
  let file: number | undefined;
  try {
    file = native.openat2(root, name, { flags: O_RDONLY | O_NONBLOCK, resolve: RESOLVE_IN_ROOT });
    const status = fstatSync(file);
    if (!status.isFile()) return undefined;
    if (status.size > MAX_DOCKERFILE_BYTES) throw tooLarge(name);
    return decodeSource(name, readFileSync(file), "a Dockerfile");
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  } finally {
    if (file !== undefined) closeSync(file);
    closeSync(root);
  }
}

/** The answer to a GET. */
export interface Download {
  readonly body: Readable;
  /** Returns the digest of the bytes, once all of them have been read. */
  readonly digest: () => Pick<LoadedContext, "digest">;
  /** Last-Modified, in seconds since 1970. */
  readonly modified: number | undefined;
}

export async function download(url: string, deps: ContextDeps, signal: AbortSignal): Promise<Download> {
  const { body, headers } = await get(url, undefined, deps, signal);
  const modifiedMs = Date.parse(headers.get("last-modified") ?? "");
  if (body === "unchanged") throw new Error("An answer to a question that was not asked");
  const digester = new Digester();
  let hasEnded = false;
  const digested = async function* (): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of body) {
      digester.update(chunk);
      yield chunk;
    }
    hasEnded = true;
  };
  return {
    body: Readable.from(digested()),
    digest: () => (hasEnded ? { digest: { sha256: hexOf(digester.digest()) } } : {}),
    modified: Number.isNaN(modifiedMs) ? undefined : Math.floor(modifiedMs / 1000),
  };
}

/** Loads a URL. Its date is the server's or, for archives, that of the newest member. */
export async function fromUrl(
  url: string,
  dockerfile: string | undefined,
  deps: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { body, digest, modified } = await download(url, deps, signal);
  const loaded = await fromStream(body, { name: url, dockerfile }, deps, signal);
  return { ...loaded, ...digest(), sourceDate: async (dateSignal) => modified ?? loaded.sourceDate?.(dateSignal) };
}

/** Reads the first bytes of a stream, and returns it whole again. */
async function peek(
  stream: AsyncGenerator<Uint8Array, void>,
  count: number,
): Promise<{ readonly first: Buffer; readonly all: AsyncGenerator<Uint8Array, void> }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  while (size < count) {
    const next = await stream.next();
    if (next.done === true) break;
    chunks.push(next.value);
    size += next.value.byteLength;
  }
  async function* all(): AsyncGenerator<Uint8Array, void> {
    yield* chunks;
    yield* stream;
  }
  return { first: Buffer.concat(chunks), all: all() };
}

/** Tells whether POSIX and GNU tars' mark is at offset 257. */
function isTarHeader(head: Buffer): boolean {
  return head.byteLength >= 262 && head.subarray(257, 262).toString("latin1") === "ustar";
}
