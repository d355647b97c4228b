import { existsSync, statSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { text as readText } from "node:stream/consumers";
import { Readable } from "node:stream";
import { BuildError, errnoOf } from "../core/errors.ts";
import { type GitUrl, parseGitUrl } from "../core/git-url.ts";
import { SourceText } from "../core/span.ts";
import { decompress, sniffCompression } from "../tar/compression.ts";
import { unpackArchive } from "../tar/unpack.ts";
import type { BuildOptions } from "./options.ts";
import type { ContextDeps } from "./context-deps.ts";

/** A Dockerfile larger than this is not one. */
const MAX_DOCKERFILE_BYTES = 16 << 20;

/** The build context and the Dockerfile, loaded. */
export interface LoadedContext {
  /** Absolute path of the files; an empty directory where there are none. */
  readonly directory: string;
  readonly dockerfile: SourceText;
  /** The ignore file that counts; `undefined` when there is none. */
  readonly ignoreFile: SourceText | undefined;
}

/**
 * Reads what `kiln build` was pointed at: a directory, a tar or Dockerfile on standard input or behind a URL, or a git
 * repository. Whatever is not a directory is put into a scratch directory of `on`.
 */
export async function loadContext(
  options: Pick<BuildOptions, "context" | "dockerfile">,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { context, dockerfile } = options;
  if (context === "-" && dockerfile === "-") {
    throw new BuildError("context/unsupported", "can't use stdin for both build context and dockerfile");
  }
  if (context === "-") return fromStream(on.environment.stdin(), "<stdin>", dockerfile, on, signal);
  // `github.com/user/repository` is a repository when no directory of that name is there.
  const isHub =
    /^github\.com\/[^/]+\/[^/]+$/.test(context) && !existsSync(resolve(on.environment.workingDirectory, context));
  const git = parseGitUrl(isHub ? `https://${context}.git` : context);
  if (git !== undefined) return fromGit(git, dockerfile, on, signal);
  if (/^https?:\/\//.test(context)) {
    return fromStream(await download(context, on, signal), context, dockerfile, on, signal);
  }
  return fromDirectory(contextDirectory(context, on), dockerfile, on, signal);
}

function contextDirectory(context: string, on: ContextDeps): string {
  const directory = resolve(on.environment.workingDirectory, context);
  const status = statSync(directory, { throwIfNoEntry: false });
  if (status === undefined) {
    throw new BuildError("context/not-found", `path ${JSON.stringify(context)} not found`, {
      hint: "the last argument of `kiln build` is the directory with the files to build from",
    });
  }
  if (status.isDirectory()) return directory;
  throw new BuildError("context/unsupported", `Cannot use ${JSON.stringify(context)} as build context: it is a file`, {
    hint: basename(directory).toLowerCase().includes("dockerfile")
      ? `give the Dockerfile with -f and its directory as context: kiln build -f ${context} ${dirname(context)}`
      : "give a directory, a URL, or - for standard input",
  });
}

async function fromDirectory(
  directory: string,
  dockerfile: string | undefined,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  if (dockerfile === "-") {
    const text = await readText(on.environment.stdin());
    return { directory, dockerfile: new SourceText("<stdin>", text), ignoreFile: await rootIgnoreFile(directory) };
  }
  if (dockerfile !== undefined && /^https?:\/\//.test(dockerfile)) {
    const text = await readText(await download(dockerfile, on, signal));
    return { directory, dockerfile: new SourceText(dockerfile, text), ignoreFile: await rootIgnoreFile(directory) };
  }
  const path = dockerfilePath(directory, dockerfile, on.environment.workingDirectory);
  const source = await readDockerfile(path, directory, dockerfile);
  const own = `${path}.dockerignore`;
  const ignoreFile = (await readSource(own, basename(own))) ?? (await rootIgnoreFile(directory));
  return { directory, dockerfile: source, ignoreFile };
}

/** A `-f` path is relative to the working directory; without one the context has a `Dockerfile` or a `dockerfile`. */
function dockerfilePath(directory: string, given: string | undefined, workingDirectory: string): string {
  if (given !== undefined) return resolve(workingDirectory, given);
  const usual = join(directory, "Dockerfile");
  if (existsSync(usual)) return usual;
  const lower = join(directory, "dockerfile");
  return existsSync(lower) ? lower : usual;
}

async function readDockerfile(path: string, directory: string, given: string | undefined): Promise<SourceText> {
  const name = given ?? basename(path);
  const source = await readSource(path, name);
  if (source !== undefined) return source;
  throw new BuildError("dockerfile/not-found", `failed to read dockerfile: open ${name}: no such file or directory`, {
    hint:
      given === undefined
        ? `put a Dockerfile into ${directory}, or name another file with -f`
        : "-f is relative to the working directory, not to the context",
  });
}

async function rootIgnoreFile(directory: string): Promise<SourceText | undefined> {
  return readSource(join(directory, ".dockerignore"), ".dockerignore");
}

/** `undefined` when there is no such file. */
async function readSource(path: string, name: string): Promise<SourceText | undefined> {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (status.isDirectory()) {
      throw new BuildError("dockerfile/not-found", `Cannot read ${JSON.stringify(name)}: it is a directory`);
    }
    if (status.size > MAX_DOCKERFILE_BYTES) {
      throw new BuildError("dockerfile/syntax", `Cannot read ${JSON.stringify(name)}: it is larger than 16 MiB`);
    }
    return new SourceText(name, await readFile(path, "utf8"));
  } catch (error) {
    if (errnoOf(error) !== "EACCES") throw error;
    throw new BuildError("context/unreadable", `Cannot read ${JSON.stringify(name)}: permission denied`, {
      cause: error,
    });
  }
}

/** A tar is the context; anything else is a Dockerfile with an empty context. */
async function fromStream(
  bytes: Readable,
  name: string,
  dockerfile: string | undefined,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const { kind, stream } = await sniffCompression(bytes, signal);
  const directory = join(on.scratchDirectory(), "context");
  await mkdir(directory);
  const head = await peek(stream, 512);
  if (kind === "none" && !isTarHeader(head.first)) {
    if (dockerfile !== undefined) {
      throw new BuildError(
        "context/unsupported",
        "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles",
        { hint: "pipe a tar to use -f with it" },
      );
    }
    const text = await readText(Readable.from(head.all));
    return { directory, dockerfile: new SourceText(name, text), ignoreFile: undefined };
  }
  // Owners do not matter: files of a context count as root's.
  const owner = { kind: "fixed", uid: on.environment.uid, gid: on.environment.gid } as const;
  await unpackArchive(decompress(head.all, kind, signal), { native: on.native, directory, owner }, signal);
  return fromDirectory(directory, dockerfile === undefined ? undefined : inside(directory, dockerfile), on, signal);
}

async function fromGit(
  git: GitUrl,
  dockerfile: string | undefined,
  on: ContextDeps,
  signal: AbortSignal,
): Promise<LoadedContext> {
  const directory = join(on.scratchDirectory(), "context");
  await mkdir(directory);
  const found = await on.git.find(
    {
      kind: "git",
      remote: git.remote,
      ref: git.ref ?? git.checksum,
      subdir: git.subdir,
      keepGitDir: git.keepGitDir ?? on.keepGitDir,
      submodules: git.submodules ?? true,
      checksum: git.checksum,
      mtime: git.mtime ?? "checkout",
    },
    signal,
  );
  await found.writeTo(directory, signal);
  return fromDirectory(directory, dockerfile === undefined ? undefined : inside(directory, dockerfile), on, signal);
}

/** With a remote context, `-f` names a file in it. */
function inside(directory: string, dockerfile: string): string {
  return join(directory, join("/", dockerfile));
}

async function download(url: string, on: ContextDeps, signal: AbortSignal): Promise<Readable> {
  let response: Response;
  try {
    response = await on.fetch(url, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new BuildError("source/http", `Cannot fetch ${JSON.stringify(url)}: the server cannot be reached`, {
      cause: error,
    });
  }
  if (!response.ok || response.body === null) {
    throw new BuildError("source/http", `Cannot fetch ${JSON.stringify(url)}: the server answered ${response.status}`);
  }
  return Readable.fromWeb(response.body);
}

/** The first bytes of a stream, and the whole of it again. */
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

/** POSIX and GNU tars say so at offset 257. */
function isTarHeader(head: Buffer): boolean {
  return head.byteLength >= 262 && head.subarray(257, 262).toString("latin1") === "ustar";
}
