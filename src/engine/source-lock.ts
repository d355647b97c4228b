import { randomUUID } from "node:crypto";
import { accessSync, constants, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { withoutCredentials } from "../../lib/core/credentials.ts";
import { type Digest, digestOf, hexOf, isDigest } from "../../lib/core/digest.ts";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { readGiven } from "../../lib/core/given-file.ts";
import { formatPlatform, type Platform } from "../../lib/core/platform.ts";
import { DIGEST, mapOf, object, oneOf, readJsonAs, TEXT } from "../../lib/core/shape.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { FoundSource, RemoteSource } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { BuildOptions } from "./options.ts";

/** The sources of a build from outside, with what they were: a file that belongs beside the Dockerfile. */
interface LockedSources {
  readonly version: 1;
  /** Manifests by reference and platform, `docker.io/library/debian:bookworm linux/amd64`. */
  readonly images: Readonly<Record<string, Digest>>;
  /** Commits by repository and ref, `https://host/repo.git#main`. */
  readonly git: Readonly<Record<string, string>>;
  /** Digests of what URLs give. */
  readonly http: Readonly<Record<string, Digest>>;
}

const SHAPE = object<LockedSources>({
  version: oneOf(1),
  images: mapOf(DIGEST),
  git: mapOf(TEXT),
  http: mapOf(DIGEST),
});

const MAX_BYTES = 16 << 20;

/**
 * The record of a build's base images and remote sources. Either it takes them down, for the file, or it refuses what
 * the file does not have. Each source is told as soon as it is known, which is before any step runs.
 */
export class SourceLock {
  readonly #path: string;
  readonly #locked: LockedSources | undefined;
  readonly #seen = {
    images: new Map<string, Digest>(),
    git: new Map<string, string>(),
    http: new Map<string, Digest>(),
  };

  private constructor(path: string, locked: LockedSources | undefined) {
    this.#path = path;
    this.#locked = locked;
  }

  /**
   * Reads the file, or checks that it can be written. `undefined` for a build without one.
   * @throws {BuildError} `lock/unusable`
   */
  static async open(
    { lockFile, locked = false }: Pick<BuildOptions, "lockFile" | "locked">,
    { workingDirectory }: Pick<BuildEnvironment, "workingDirectory">,
    signal: AbortSignal,
  ): Promise<SourceLock | undefined> {
    if (lockFile === undefined) return undefined;
    const path = resolve(workingDirectory, lockFile);
    if (!locked) {
      checkWritable(path);
      return new SourceLock(path, undefined);
    }
    const bad = (why: string, cause?: unknown): BuildError =>
      unusable(`Cannot use the lock file ${JSON.stringify(lockFile)}: ${why}`, cause);
    let bytes: Buffer;
    try {
      bytes = await readGiven({ path, refuse: bad }, MAX_BYTES, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError) throw error;
      throw bad(errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error), error);
    }
    return new SourceLock(path, readJsonAs(SHAPE, bytes.toString(), bad));
  }

  /** Takes an image down, or checks it. */
  image(ref: string, platform: Platform, manifest: Digest): void {
    this.#tell("images", `${ref} ${formatPlatform(platform)}`, manifest);
  }

  /** Does the same for what a URL gave. */
  url(url: string, digest: Digest | undefined): void {
    if (digest === undefined) throw new Error("A download without a digest");
    this.#tell("http", nameOfUrl(url), digest);
  }

  /** Returns a source of repositories that tells each. */
  git(source: RemoteSource<GitOp>): RemoteSource<GitOp> {
    return telling(source, (op, found) => {
      const remote = withoutCredentials(op.remote);
      this.#tell("git", op.ref === undefined ? remote : `${remote}#${op.ref}`, partOf(found, "commit"));
    });
  }

  /** Returns a source of files that tells each. */
  http(source: RemoteSource<HttpOp>): RemoteSource<HttpOp> {
    return telling(source, (op, found) => {
      const content = partOf(found, "content");
      this.url(op.url, isDigest(content) ? content : undefined);
    });
  }

  /**
   * Writes what was taken down, as a whole or not at all.
   * @throws {BuildError} `lock/unusable`
   */
  write(): void {
    if (this.#locked !== undefined) return;
    const { images, git, http } = this.#seen;
    const sources: LockedSources = { version: 1, images: sorted(images), git: sorted(git), http: sorted(http) };
    const draft = join(dirname(this.#path), `.kiln-${randomUUID()}.partial`);
    try {
      writeFileSync(draft, `${JSON.stringify(sources, undefined, 2)}\n`);
      renameSync(draft, this.#path);
    } catch (error) {
      rmSync(draft, { force: true });
      throw unwritable(this.#path, error);
    }
  }

  #tell<Kind extends "images" | "git" | "http">(kind: Kind, name: string, value: LockedSources[Kind][string]): void {
    const seen: Map<string, string> = this.#seen[kind];
    seen.set(name, value);
    if (this.#locked === undefined) return;
    const known: Readonly<Record<string, string>> = this.#locked[kind];
    const wanted = Object.hasOwn(known, name) ? known[name] : undefined;
    if (wanted === value) return;
    const why =
      wanted === undefined ? "it is not in the lock file" : `it is ${value} now, and the lock file has ${wanted}`;
    throw new BuildError("lock/differs", `Cannot use ${JSON.stringify(name)}: ${why}`, {
      hint: "if the new one is wanted, build once without --locked: that writes the file again",
    });
  }
}

function telling<Op>(source: RemoteSource<Op>, tell: (op: Op, found: FoundSource) => void): RemoteSource<Op> {
  return {
    find: async (op, signal) => {
      const found = await source.find(op, signal);
      tell(op, found);
      return found;
    },
  };
}

function partOf({ parts }: FoundSource, name: string): string {
  return parts.find((part) => part.name === name)?.value ?? "";
}

/** Names a URL without what may be a credential. Queries may be, and tell files apart: a digest stands for one. */
function nameOfUrl(text: string): string {
  const url = new URL(text);
  url.username = "";
  url.password = "";
  url.hash = "";
  if (url.search !== "") url.search = hexOf(digestOf(url.search)).slice(0, 16);
  return url.href;
}

function sorted<T>(entries: ReadonlyMap<string, T>): Readonly<Record<string, T>> {
  return Object.fromEntries([...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function checkWritable(path: string): void {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status !== undefined && !status.isFile()) throw new Error("it is not a regular file");
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): BuildError {
  const why = errnoOf(error) === "ENOENT" ? `there is no directory ${dirname(path)}` : messageOf(error);
  return unusable(`Cannot write the lock file ${JSON.stringify(path)}: ${why}`, error);
}

function unusable(message: string, cause: unknown): BuildError {
  return new BuildError("lock/unusable", message, {
    hint: "kiln build --lock FILE writes one",
    cause,
  });
}
