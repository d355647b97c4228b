import { statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { parseGitUrl } from "../../lib/core/git-url.ts";
import type { Platform } from "../../lib/core/platform.ts";
import { formatReference, parseReference } from "../../lib/core/reference.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { parseIgnoreFile } from "../../frontend/ignore/ignore-file.ts";
import type { ContextSource, ResolvedBase, Resolver } from "../../frontend/convert/resolver.ts";
import type { ImageSource } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";
import { findIgnoreFile } from "./context/context-files.ts";
import { imagePlace, type ImagePlace } from "./images/image-places.ts";
import type { MovedBase, MovedBases } from "./images/moved-bases.ts";
import type { SourceLock } from "./source-lock.ts";
import { type SourceDateDeps, sourceDate } from "./source-date.ts";

export interface ResolverDeps {
  readonly environment: BuildEnvironment;
  readonly images: ImageSource;
  readonly mode: "default" | "pull" | "local";
  readonly moved: MovedBases | undefined;
  readonly lock?: SourceLock | undefined;
  /** `--build-context`, values as typed. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly progress: ProgressSink;
  readonly dates: SourceDateDeps;
  /** Loads an image of an OCI layout directory into the store. */
  readonly loadPlace: (place: ImagePlace, platform: Platform, signal: AbortSignal) => Promise<ResolvedBase>;
  readonly loadLayout: (path: string, platform: Platform, signal: AbortSignal) => Promise<ResolvedBase>;
}

/** A resolver that answers the frontend from the store, registries and the file system. */
export class BuildResolver implements Resolver {
  readonly #deps: ResolverDeps;
  readonly #images = new Map<string, Promise<ResolvedBase>>();
  /** Directories of requested local contexts, by name. */
  readonly localDirectories = new Map<string, string>();

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  async image(ref: string, lookup: { readonly platform: Platform }, signal: AbortSignal): Promise<ResolvedBase> {
    const key = JSON.stringify([ref, lookup.platform]);
    let found = this.#images.get(key);
    if (found === undefined) {
      found = this.#resolve(ref, lookup.platform, signal);
      this.#images.set(key, found);
    }
    return found;
  }

  /** Answers with these images from now on. */
  replace(bases: readonly MovedBase[]): void {
    for (const { ref, platform, image } of bases) {
      this.#deps.lock?.image(ref, platform, image.manifest);
      this.#images.set(JSON.stringify([ref, platform]), Promise.resolve(image));
    }
  }

  async namedContext(
    name: string,
    lookup: { readonly platform: Platform },
    signal: AbortSignal,
  ): Promise<ContextSource | undefined> {
    const value = Object.hasOwn(this.#deps.contexts, name) ? this.#deps.contexts[name] : undefined;
    if (value === undefined) return undefined;
    const [, scheme, rest = ""] = /^([a-z][a-z0-9-]*):\/\/(.*)$/.exec(value) ?? [];
    if (scheme === "docker-image") {
      if (rest === "scratch") return { kind: "scratch" };
      const ref = formatReference(parseReference(rest));
      return { kind: "image", ...(await this.image(ref, lookup, signal)) };
    }
    if (scheme === "oci-layout") {
      const image = await this.#deps.loadLayout(rest, lookup.platform, signal);
      this.#deps.lock?.image(value, lookup.platform, image.manifest);
      return { kind: "image", ...image };
    }
    const place = imagePlace(value);
    if (place !== undefined) {
      const image = await this.#deps.loadPlace(place, lookup.platform, signal);
      this.#deps.lock?.image(value, lookup.platform, image.manifest);
      return { kind: "image", ...image };
    }
    const git = parseGitUrl(value);
    if (git !== undefined) {
      return {
        kind: "git",
        remote: git.remote,
        ref: git.ref,
        subdir: git.subdir,
        keepGitDir: git.keepGitDir ?? false,
        submodules: git.submodules ?? true,
        checksum: git.checksum,
        mtime: git.mtime ?? "checkout",
        ...(git.fetchByCommit ? { fetchByCommit: true } : {}),
      };
    }
    if (scheme === "http" || scheme === "https") {
      const filename = basename(new URL(value).pathname) || "context";
      return { kind: "http", url: value, filename, checksum: undefined, mode: 0o600, uid: 0, gid: 0 };
    }
    if (scheme !== undefined) {
      throw new BuildError("context/unsupported", `unsupported context source ${scheme} for ${name}`, {
        hint: "use a directory, docker-image://, docker-daemon:NAME, oci-layout://, a git repository or an http(s) URL",
      });
    }
    return this.#localContext(name, value, signal);
  }

  async sourceDate(source: ContextSource, signal: AbortSignal): Promise<number | undefined> {
    return sourceDate(source, this.#deps.dates, signal);
  }

  async #resolve(ref: string, platform: Platform, signal: AbortSignal): Promise<ResolvedBase> {
    const { images, mode, progress, environment } = this.#deps;
    const id = `metadata:${ref}`;
    const name = `[internal] load metadata for ${ref}`;
    progress({ kind: "step-started", id, name, atMs: environment.nowMs() });
    try {
      const found = await images.resolve(ref, { platform, mode }, signal);
      this.#deps.moved?.consider(ref, platform, found);
      this.#deps.lock?.image(ref, platform, found.manifest);
      progress({ kind: "step-done", id, atMs: environment.nowMs() });
      return found;
    } catch (error) {
      const message = messageOf(error);
      progress({ kind: "step-failed", id, message, atMs: environment.nowMs() });
      throw error;
    }
  }

  async #localContext(name: string, value: string, signal: AbortSignal): Promise<ContextSource> {
    const directory = resolve(this.#deps.environment.workingDirectory, value);
    this.localDirectories.set(name, directory);
    const notice = (message: string): void =>
      this.#deps.progress({
        kind: "notice",
        level: "warning",
        message: `context ${name}: ${message}`,
        hint: undefined,
      });
    const source = await findIgnoreFile({ directory, shownDirectory: value }, { notice }, signal);
    const excludes = source === undefined ? [] : parseIgnoreFile(source).patterns.map(({ text }) => text);
    return { kind: "local", name, excludes };
  }
}

/**
 * Refuses a `--build-context` that is no directory before anything is built, whether the Dockerfile uses it or not.
 * @throws {BuildError} `context/not-found`
 */
export function checkDirectories(contexts: Readonly<Record<string, string>>, workingDirectory: string): void {
  for (const [name, value] of Object.entries(contexts)) {
    if (/^[a-z][a-z0-9-]*:\/\//.test(value) || imagePlace(value) !== undefined || parseGitUrl(value) !== undefined)
      continue;
    const status = statSync(resolve(workingDirectory, value), { throwIfNoEntry: false });
    if (status?.isDirectory() === true) continue;
    const why = status === undefined ? "there is no such directory" : "it is no directory";
    throw new BuildError("context/not-found", `Cannot use ${JSON.stringify(value)} as context ${name}: ${why}`, {
      hint: "a --build-context is a directory, docker-image://, docker-daemon:NAME, oci-layout://, a git repository or an http(s) URL",
    });
  }
}
