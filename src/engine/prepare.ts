import { systemFailure } from "../../lib/core/system-failure.ts";
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
import type { GitOp } from "../../solver/graph/op.ts";
import type { RemoteSource, SecretSource, SshSource } from "../../solver/ports.ts";
import { type GitFacts, gitFacts } from "./context/git-facts.ts";
import { isMultiPlatform, uselessBuilderArgs } from "./builder-args.ts";
import { loadContext } from "./context/context.ts";
import type { LoadedContext } from "./context/context-deps.ts";
import type { Engine } from "./engine.ts";
import { loadLayoutImage } from "./images/load-layout.ts";
import type { MovedBase, MovedBases } from "./images/moved-bases.ts";
import type { BuildOptions } from "./options.ts";
import { BuildResolver, checkDirectories } from "./resolver.ts";
import type { Scratch } from "./scratch.ts";
import { checkStageNames } from "./stage-names.ts";
import { secretSource, sshSource } from "./secrets.ts";

/** A build up to the point where work begins: everything read, nothing made. */
export interface PreparedBuild {
  readonly context: LoadedContext;
  readonly dockerfile: Dockerfile;
  /** The lines of the ignore file that counts. */
  readonly ignored: readonly IgnorePattern[];
  /** One per platform, in the order asked for. */
  readonly conversions: readonly Conversion[];
  /** Whether the result is an index, also for one platform. */
  readonly multiPlatform: boolean;
  /** Host directories of the local contexts that are read, by name. */
  readonly directories: ReadonlyMap<string, string>;
  readonly buildArgs: ReadonlyMap<string, string>;
  /** The repository that the context's folder is in, as provenance speaks of it. */
  readonly vcs: GitFacts["vcs"];
  readonly git: RemoteSource<GitOp>;
  readonly secrets: SecretSource;
  readonly ssh: SshSource;
  /** The same build on base images that have moved since. */
  readonly again: (bases: readonly MovedBase[]) => Promise<PreparedBuild>;
}

/** A Dockerfile that has been read, and what converting it takes. */
export interface ReadBuild extends Omit<PreparedBuild, "conversions" | "directories" | "again"> {
  readonly resolver: BuildResolver;
  /** One per platform. */
  readonly convertOptions: readonly ConvertOptions[];
}

/** Reads the context and the Dockerfile and turns it into a graph per platform. */
export async function prepareBuild(
  engine: Engine,
  options: BuildOptions,
  at: PrepareParts,
  signal: AbortSignal,
): Promise<PreparedBuild> {
  const { resolver, convertOptions, ...read } = await readBuild(engine, options, at, signal);
  const convert = async (): Promise<PreparedBuild> => {
    const conversions = await mapLimit(convertOptions, 4, signal, (one, inner) =>
      convertDockerfile(read.dockerfile, one, resolver, inner),
    );
    const directories = new Map([["context", read.context.directory], ...resolver.localDirectories]);
    const again: PreparedBuild["again"] = (bases) => {
      resolver.replace(bases);
      return convert();
    };
    return { ...read, conversions, directories, again };
  };
  return convert();
}

export interface PrepareParts {
  readonly scratch: Scratch;
  readonly progress: ProgressSink;
  /** Asked about the base images that the store knows; without it they are taken as they are. */
  readonly moved?: MovedBases | undefined;
}

/** Reads the context and the Dockerfile. */
export async function readBuild(
  engine: Engine,
  options: BuildOptions,
  at: PrepareParts,
  signal: AbortSignal,
): Promise<ReadBuild> {
  const { environment } = engine;
  const buildArgs = withSourceDate(options.buildArgs ?? {}, environment.env["SOURCE_DATE_EPOCH"]);
  for (const message of uselessBuilderArgs(buildArgs))
    at.progress({ kind: "notice", level: "warning", message, hint: undefined });
  const secrets = secretSource(options.secrets ?? [], environment);
  checkDirectories(options.contexts ?? {}, environment.workingDirectory);
  const ssh = sshSource(options.ssh ?? [], environment, at.scratch);
  await ssh.check(signal);
  const git = createGitSource({
    program: {
      env: gitEnvironment(environment.env),
      protocols: ["https", "http", "ssh", "git"],
      guardPath: environment.runtimePath,
    },
    scratchDirectory: at.scratch.root,
    secrets,
    ssh,
  });
  const context = await step(at.progress, environment, "[internal] load build definition from Dockerfile", () =>
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
        scratchDirectory: () => at.scratch.directory(),
        notice: (message) => at.progress({ kind: "notice", level: "warning", message, hint: undefined }),
      },
      signal,
    ),
  );
  const facts = await gitFacts(
    environment,
    options,
    { directory: context.directory, progress: at.progress, env: gitEnvironment(environment.env) },
    signal,
  );
  requireBuiltInFrontend(context.dockerfile, buildArgs.get("BUILDKIT_SYNTAX"));
  const dockerfile = parseDockerfile(context.dockerfile);
  checkStageNames(dockerfile, options, at.progress);
  const ignored = context.ignoreFile === undefined ? [] : parseIgnoreFile(context.ignoreFile).patterns;
  const excludes = ignored.map(({ text }) => text);
  const resolver = new BuildResolver({
    environment,
    images: engine.images,
    mode: options.pull === "never" || options.offline === true ? "local" : options.pull === true ? "pull" : "default",
    moved: at.moved,
    contexts: options.contexts ?? {},
    progress: at.progress,
    dates: {
      git,
      http: createHttpSource({
        store: engine.store,
        fetch: engine.fetch,
        secrets,
        isOffline: options.offline === true,
      }),
      scratchDirectory: () => at.scratch.directory(),
      contextDate: async (s) => context.sourceDate?.(s),
    },
    loadLayout: (path, platform, s) => loadLayoutImage(engine, path, platform, s),
  });
  const platforms = wantedPlatforms(options.platforms ?? [], environment.platform);
  const multiPlatform = isMultiPlatform(buildArgs, platforms.length);
  const convertOptions = platforms.map((targetPlatform): ConvertOptions => ({
    target: options.target,
    buildArgs,
    buildPlatform: environment.platform,
    targetPlatform,
    multiPlatform,
    labels: new Map(Object.entries({ ...options.labels, ...facts.labels })),
    noCache: noCacheOf(options.noCache),
    network: conversionNetwork(options.network),
    ulimits: options.ulimits ?? [],
    shmSizeBytes: options.shmSizeBytes,
    extraHosts: (options.extraHosts ?? []).map(({ name }) => name),
    hostname: undefined,
    cgroupParent: options.cgroupParent,
    cacheMountNamespace: undefined,
    context: {
      kind: "local",
      name: "context",
      excludes,
      ...(context.owners === "kept" ? { owners: context.owners } : {}),
    },
  }));
  const found = { context, dockerfile, ignored, resolver, buildArgs, multiPlatform, vcs: facts.vcs };
  return { ...found, convertOptions, git, secrets, ssh };
}

/** Internal work as a line of the display. */
export async function step<T>(
  progress: ProgressSink,
  clock: { nowMs(): number },
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const id = name;
  progress({ kind: "step-started", id, name, atMs: clock.nowMs() });
  try {
    const result = await work();
    progress({ kind: "step-done", id, atMs: clock.nowMs() });
    return result;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    progress({ kind: "step-failed", id, message, atMs: clock.nowMs() });
    throw systemFailure(`carry out "${name.replace(/^\[internal\] /, "")}"`, error);
  }
}

/** `undefined` alone: nothing was asked for, so the build platform, or what the base image is made for. */
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

/** The variable of the client's environment counts as a build argument, as with docker. */
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

/** Variables that git, ssh and curl need to find themselves, their keys, their proxies and the authorities they trust. */
function gitEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
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

/** How a network is provided is this machine's business and in no key: a step in the sandbox's is the same step. */
function conversionNetwork(network: BuildOptions["network"]): "default" | "none" | "host" {
  return network === undefined || network === "sandbox" ? "default" : network;
}
