import { basename, resolve } from "node:path";
import { digestFromHex, digestOf } from "../../lib/core/digest.ts";
import { parseGitUrl } from "../../lib/core/git-url.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import { type Platform, formatPlatform, parsePlatform } from "../../lib/core/platform.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { convertDockerfile } from "../../frontend/convert/convert.ts";
import type { ConvertOptions } from "../../frontend/convert/options.ts";
import type { Conversion } from "../../frontend/convert/conversion.ts";
import type { Dockerfile } from "../../frontend/instructions/dockerfile.ts";
import { type IgnorePattern, parseIgnoreFile } from "../../frontend/ignore/ignore-file.ts";
import { parseDockerfile } from "../../frontend/parse.ts";
import { requireBuiltInFrontend } from "../../frontend/syntax/frontend-image.ts";
import { createGitSource } from "../../solver/sources/git/git-source.ts";
import { createHttpSource } from "../../solver/sources/http/http-source.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";
import type { RemoteSource, SecretSource, SshSource } from "../../solver/ports.ts";
import { type GitFacts, gitFacts } from "./context/git-facts.ts";
import { isMultiPlatform, uselessBuilderArgs } from "./builder-args.ts";
import { loadContext } from "./context/context.ts";
import { defaultDate } from "./context/default-date.ts";
import type { LoadedContext } from "./context/context-deps.ts";
import type { Engine } from "./engine.ts";
import { baseFrom } from "./images/image-places.ts";
import { loadLayoutImage } from "./images/load-layout.ts";
import type { MovedBase, MovedBases } from "./images/moved-bases.ts";
import type { BuildOptions } from "./options.ts";
import { copiesOfGit, refuseFuture } from "./reproducible.ts";
import { BuildResolver, checkDirectories } from "./resolver.ts";
import type { Scratch } from "./scratch.ts";
import type { SourceLock } from "./source-lock.ts";
import { checkStageNames } from "./stage-names.ts";
import { secretSource, sshSource } from "./secrets.ts";
import { shownStep } from "./shown-step.ts";

/** A build with everything read, before any work. */
export interface PreparedBuild {
  readonly context: LoadedContext;
  readonly dockerfile: Dockerfile;
  /** The lines of the ignore file in use. */
  readonly ignored: readonly IgnorePattern[];
  /** One per platform, in the order asked for. */
  readonly conversions: readonly Conversion[];
  /** True when the result is an index, also for one platform. */
  readonly multiPlatform: boolean;
  /** Host directories of the local contexts that are read, by name. */
  readonly directories: ReadonlyMap<string, string>;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** The repository around the context, for provenance. */
  readonly vcs: GitFacts["vcs"];
  readonly git: RemoteSource<GitOp>;
  /** A source that asks once for each URL, for all instructions. */
  readonly http: RemoteSource<HttpOp>;
  readonly secrets: SecretSource;
  readonly ssh: SshSource;
  /** Prepares the same build with moved base images. */
  readonly again: (bases: readonly MovedBase[]) => Promise<PreparedBuild>;
  /** Prepares the same build, of the same sources, with steps that all skip the cache. */
  readonly uncached: () => Promise<PreparedBuild>;
}

/** A parsed Dockerfile, and the inputs of its conversion. */
export interface ReadBuild extends Omit<PreparedBuild, "conversions" | "directories" | "again" | "uncached"> {
  readonly resolver: BuildResolver;
  /** One per platform. */
  readonly convertOptions: readonly ConvertOptions[];
}

/** The parts of a build for reading its Dockerfile. */
export interface PrepareParts {
  readonly engine: Pick<Engine, "environment" | "native" | "store" | "images" | "fetch" | "scratchPath">;
  readonly options: BuildOptions;
  readonly progress: ProgressSink;
  readonly scratch: Scratch;
  /** Requests about the store's base images; without it they are used as they are. */
  readonly moved?: MovedBases | undefined;
  /** The record of sources, which may refuse them. */
  readonly lock?: SourceLock | undefined;
}

/** Reads the context and the Dockerfile and turns it into a graph per platform. */
export async function prepareBuild(parts: PrepareParts, signal: AbortSignal): Promise<PreparedBuild> {
  const { engine, options, progress } = parts;
  const { resolver, convertOptions, ...read } = await readBuild(parts, signal);
  const convert = async (more: Pick<ConvertOptions, "noCache"> | undefined): Promise<PreparedBuild> => {
    const conversions = await mapLimit(convertOptions, 4, signal, (one, inner) =>
      convertDockerfile(read.dockerfile, { ...one, ...more }, resolver, inner),
    );
    const directories = new Map([["context", read.context.directory], ...resolver.localDirectories]);
    if (options.reproducible === true && more === undefined) {
      refuseFuture(conversions, engine.environment.nowMs());
      for (const message of copiesOfGit(conversions, directories)) {
        progress({ kind: "notice", level: "warning", message, hint: undefined });
      }
    }
    const again: PreparedBuild["again"] = (bases) => {
      resolver.replace(bases);
      return convert(more);
    };
    return { ...read, conversions, directories, again, uncached: () => convert({ noCache: "all" }) };
  };
  return convert(undefined);
}

/** Returns the name of the step that reads the Dockerfile; the display's id of it is the same. */
export function loadingStep({ dockerfile = "Dockerfile" }: Pick<BuildOptions, "dockerfile">): string {
  const name = dockerfile === "-" || URL.canParse(dockerfile) ? "Dockerfile" : basename(dockerfile);
  return `[internal] load build definition from ${name}`;
}

/** Reads the context and the Dockerfile. */
export async function readBuild(parts: PrepareParts, signal: AbortSignal): Promise<ReadBuild> {
  const { engine, options, progress, scratch, lock } = parts;
  const { environment } = engine;
  const warn = (message: string): void => progress({ kind: "notice", level: "warning", message, hint: undefined });
  const buildArgs = withSourceDate(options.buildArgs ?? {}, environment.env["SOURCE_DATE_EPOCH"]);
  for (const message of uselessBuilderArgs(buildArgs)) warn(message);
  checkDirectories(options.contexts ?? {}, environment.workingDirectory);
  const gitEnv = gitEnvironment(environment.env);
  const sources = await openSources(parts, gitEnv, signal);
  const { git, http, secrets } = sources;
  const scratchDirectory = (): string => scratch.directory();
  const shown = { progress, clock: environment };
  const context = await shownStep(loadingStep(options), shown, () =>
    loadContext(
      options,
      {
        environment,
        native: engine.native,
        git,
        fetch: engine.fetch,
        secrets,
        commitTimes: (buildArgs.get("SOURCE_DATE_EPOCH") ?? "") !== "",
        keepGitDir: isTrue(buildArgs.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR")),
        scratchDirectory,
        notice: warn,
      },
      signal,
    ),
  );
  const { directory } = context;
  if (lock !== undefined) lockDownloads(lock, options, context);
  const facts = await gitFacts(environment, options, { directory, progress, env: gitEnv }, signal);
  requireBuiltInFrontend(context.dockerfile, buildArgs.get("BUILDKIT_SYNTAX"));
  const dockerfile = parseDockerfile(context.dockerfile);
  checkStageNames(dockerfile, options, progress);
  const ignored = context.ignoreFile === undefined ? [] : parseIgnoreFile(context.ignoreFile).patterns;
  const resolver = new BuildResolver({
    environment,
    images: engine.images,
    mode: options.pull === "never" || options.offline === true ? "local" : options.pull === true ? "pull" : "default",
    moved: parts.moved,
    lock,
    contexts: options.contexts ?? {},
    progress,
    dates: { git, http, scratchDirectory, contextDate: async (s) => context.sourceDate?.(s) },
    loadPlace: (place, platform, s) => baseFrom(engine, place, platform, s),
    loadLayout: (path, platform, s) => loadLayoutImage(engine, path, platform, s),
  });
  const platforms = wantedPlatforms(options.platforms ?? [], environment.platform);
  const multiPlatform = isMultiPlatform(buildArgs, platforms.length);
  const buildPlatform = environment.platform;
  const isLocal = resolve(environment.workingDirectory, options.context) === directory;
  const dating = { env: gitEnv, guardPath: environment.runtimePath, warn };
  const reproducible =
    options.reproducible === true
      ? { epoch: await defaultDate(context, isLocal ? directory : undefined, dating, signal) }
      : undefined;
  const requested = requestedConversion(options, facts.labels);
  const shared = { ...requested, buildArgs, buildPlatform, multiPlatform, reproducible };
  const excludes = ignored.map(({ text }) => text);
  const owners = context.owners === "kept" ? { owners: context.owners } : {};
  const convertOptions = platforms.map((targetPlatform): ConvertOptions => ({
    ...shared,
    targetPlatform,
    context: { kind: "local", name: "context", excludes, ...owners },
  }));
  const { vcs } = facts;
  return { ...sources, context, dockerfile, ignored, resolver, buildArgs, multiPlatform, vcs, convertOptions };
}

/** Tells the lock what was downloaded to begin with: a context, a Dockerfile. */
function lockDownloads(lock: SourceLock, { context: source, dockerfile }: BuildOptions, context: LoadedContext): void {
  const { sha256 } = context.digest ?? {};
  if (isHttp(source) && parseGitUrl(source) === undefined) {
    lock.url(source, sha256 === undefined ? undefined : digestFromHex(sha256));
  }
  if (dockerfile !== undefined && isHttp(dockerfile)) lock.url(dockerfile, digestOf(context.dockerfile.text));
}

function isHttp(text: string): boolean {
  return /^https?:\/\//.test(text);
}

type Sources = Pick<PreparedBuild, "git" | "http" | "secrets" | "ssh">;

/**
 * Opens the sources of steps and contexts, and checks the agents.
 * @throws {BuildError} `secret/unreadable`
 */
export async function openSources(
  { engine, options, scratch, lock }: PrepareParts,
  gitEnv: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Sources> {
  const { environment, store, fetch } = engine;
  const secrets = secretSource(options.secrets ?? [], environment);
  const ssh = sshSource(options.ssh ?? [], environment, scratch);
  await ssh.check(signal);
  const git = createGitSource({
    program: {
      env: gitEnv,
      protocols: ["https", "http", "ssh", "git"],
      guardPath: environment.runtimePath,
    },
    scratchDirectory: scratch.root,
    secrets,
    ssh,
  });
  const http = createHttpSource({ store, fetch, secrets, isOffline: options.offline === true });
  return { git: lock?.git(git) ?? git, http: lock?.http(http) ?? http, secrets, ssh };
}

/**
 * Makes the part of a conversion's options that depends on the build's options alone.
 * @param labels from git, without a flag
 */
function requestedConversion(
  options: BuildOptions,
  labels: GitFacts["labels"],
): Omit<ConvertOptions, "buildArgs" | "buildPlatform" | "targetPlatform" | "multiPlatform" | "context"> {
  return {
    target: options.target,
    labels: new Map(Object.entries({ ...options.labels, ...labels })),
    noCache: noCacheOf(options.noCache),
    network: conversionNetwork(options.network),
    ulimits: options.ulimits ?? [],
    shmSizeBytes: options.shmSizeBytes,
    extraHosts: (options.extraHosts ?? []).map(({ name }) => name),
    hostname: undefined,
    cgroupParent: options.cgroupParent,
    cacheMountNamespace: undefined,
  };
}

/** Lists the platforms. `undefined` alone: none was requested, so the build platform, or the base image's own. */
function wantedPlatforms(texts: readonly string[], host: Platform): (Platform | undefined)[] {
  if (texts.length === 0) return [undefined];
  const wanted = new Map<string, Platform>();
  for (const text of texts) {
    const platform = text === "local" ? host : parsePlatform(text, host);
    wanted.set(formatPlatform(platform), platform);
  }
  return [...wanted.values()];
}

function noCacheOf(noCache: BuildOptions["noCache"]): "none" | "all" | readonly string[] {
  if (noCache === true) return "all";
  return noCache === undefined || noCache === false || noCache.length === 0 ? "none" : noCache;
}

/** Adds the client's environment variable as a build argument, as with docker. */
function withSourceDate(
  given: Readonly<Record<string, string>>,
  fromEnvironment: string | undefined,
): Map<string, string> {
  const buildArgs = new Map(Object.entries(given));
  if (fromEnvironment !== undefined && fromEnvironment !== "" && !buildArgs.has("SOURCE_DATE_EPOCH")) {
    buildArgs.set("SOURCE_DATE_EPOCH", fromEnvironment);
  }
  return buildArgs;
}

/** Lists variables that git, ssh and curl need to find programs, keys, proxies and trusted authorities. */
export function gitEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const proxies = ["http_proxy", "https_proxy", "no_proxy", "all_proxy"];
  const names = [
    ...["PATH", "HOME", ...proxies, ...proxies.map((name) => name.toUpperCase())],
    ...["SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO"],
  ];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function isTrue(text: string | undefined): boolean {
  return text !== undefined && /^(1|t|true)$/i.test(text);
}

/**
 * Maps the network for the key: how it is provided is this machine's matter, so a step in a sandbox's network is the
 * same step.
 */
function conversionNetwork(network: BuildOptions["network"]): "default" | "none" | "host" {
  return network === undefined || network === "sandbox" ? "default" : network;
}
