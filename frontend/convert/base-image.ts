import { BuildError, joinHints } from "../../lib/core/errors.ts";
import type { ContainerConfig, HistoryEntry } from "../../lib/core/oci.ts";
import { type Platform, formatPlatform, normalizePlatform } from "../../lib/core/platform.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/core/reference.ts";
import { suggest } from "../../lib/core/suggest.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import type { Linter } from "../lint/linter.ts";
import { invalidBaseImagePlatform } from "../lint/rules/invalid-base-image-platform.ts";
import type { BaseImage, ImageDraft } from "./conversion.ts";
import type { PlannedStage } from "./plan.ts";
import type { ContextSource, Resolver } from "./resolver.ts";
import { imageVertex, sourceVertex } from "./sources.ts";

/** The start of a stage: a tree and the configuration that comes with it. */
export interface Start {
  readonly tree: Vertex | undefined;
  readonly image: ImageDraft;
  readonly history: readonly HistoryEntry[];
  readonly platform: Platform;
  readonly base: BaseImage | undefined;
  /** Display name: `docker.io/library/alpine:latest@sha256:...`. */
  readonly name: string;
  /**
   * `replaced`: a `--build-context` with the stage's own name replaces the whole stage, and its instructions are not
   * run.
   */
  readonly extent: "start" | "replaced";
}

export interface StartOptions {
  readonly target: Platform;
  /**
   * Platforms that this machine runs. Without an explicit target, a base image for one of them decides the platform.
   */
  readonly runnable: readonly Platform[] | undefined;
  readonly linter: Linter;
  /** Candidates for "did you mean". */
  readonly stageNames: readonly string[];
}

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Resolves the image of a FROM, or of a `--from` that names no stage.
 * @throws {BuildError} at the FROM
 */
export async function resolveStart(
  planned: PlannedStage,
  resolver: Resolver,
  options: StartOptions,
  signal: AbortSignal,
): Promise<Start> {
  const platform = planned.platform ?? options.target;
  const stageName = planned.stage?.name;
  const replacement = stageName === undefined ? undefined : await findContext(stageName, resolver, platform, signal);
  if (replacement !== undefined) return { ...fromContext(replacement, stageName ?? "", platform), extent: "replaced" };
  if (planned.baseText === "scratch") return emptyStart(options.target);
  const ref = readReference(planned);
  const name = formatReference(ref);
  const context = await findContext(familiarReference(ref, "hidden"), resolver, platform, signal);
  if (context !== undefined) return fromContext(context, name, platform);
  const image = await resolveImage(planned, name, { resolver, platform, options }, signal);
  const actual = planned.platform === undefined ? detectPlatform(image.config, platform, options.runnable) : platform;
  if (image.config.os !== actual.os || image.config.architecture !== actual.architecture) {
    const found = normalizePlatform({ os: image.config.os, architecture: image.config.architecture });
    const place = planned.stage?.from ?? { span: planned.span };
    const [wanted, got] = [formatPlatform(normalizePlatform(actual)), formatPlatform(found)];
    options.linter.report(invalidBaseImagePlatform, place, planned.baseText, wanted, got);
  }
  return fromImage({ kind: "image", ...image }, actual);
}

/** Makes the start for `FROM scratch`. Its platform is always the target's. */
function emptyStart(platform: Platform): Start {
  return {
    tree: undefined,
    image: {
      architecture: platform.architecture,
      os: platform.os,
      ...(platform.variant === undefined ? {} : { variant: platform.variant }),
      ...(platform.osVersion === undefined ? {} : { "os.version": platform.osVersion }),
      ...(platform.osFeatures === undefined ? {} : { "os.features": platform.osFeatures }),
      config: withPath({ WorkingDir: "/" }, platform),
      other: {},
    },
    history: [],
    platform,
    base: undefined,
    name: "scratch",
    extent: "start",
  };
}

/**
 * Finds the --build-context of a name; one for this platform comes first. `scratch` and `context` cannot be replaced.
 */
export async function findContext(
  name: string,
  resolver: Resolver,
  platform: Platform,
  signal: AbortSignal,
): Promise<ContextSource | undefined> {
  if (/^(?:scratch|context)$/i.test(name)) return undefined;
  const lookup = { platform };
  return (
    (await resolver.namedContext(`${name}::${formatPlatform(normalizePlatform(platform))}`, lookup, signal)) ??
    (await resolver.namedContext(name, lookup, signal))
  );
}

function fromContext(source: ContextSource, name: string, platform: Platform): Start {
  if (source.kind === "image") return fromImage(source, platform);
  return { ...emptyStart(platform), tree: sourceVertex(source, platform), name };
}

function fromImage(source: Extract<ContextSource, { readonly kind: "image" }>, platform: Platform): Start {
  const { config } = source;
  // Fields beyond the specification (docker's old fields, cache records) describe the base image only: they are not
  // inherited.
  const { created: _created, rootfs: _rootfs, other: _other, history, ...image } = config;
  const tree = imageVertex(source, platform);
  return {
    tree,
    image: { ...image, other: {}, config: withPath(image.config, platform) },
    history,
    platform,
    base: { vertex: tree, ref: source.ref, config },
    name: source.ref.includes("@") ? source.ref : `${source.ref}@${source.manifest}`,
    extent: "start",
  };
}

/** Adds the usual PATH to an image that has none, because commands are looked up in it. Windows has its own. */
function withPath(config: ContainerConfig, platform: Platform): ContainerConfig {
  const env = config.Env ?? [];
  const isMissing = platform.os !== "windows" && !env.some((entry) => entry.startsWith("PATH="));
  return isMissing ? { ...config, Env: [...env, DEFAULT_PATH] } : config;
}

function readReference(planned: PlannedStage): ReturnType<typeof parseReference> {
  try {
    return parseReference(planned.baseText);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw error.at(planned.stage?.from.base.span ?? planned.span);
  }
}

async function resolveImage(
  planned: PlannedStage,
  name: string,
  deps: { readonly resolver: Resolver; readonly platform: Platform; readonly options: StartOptions },
  signal: AbortSignal,
): ReturnType<Resolver["image"]> {
  const span = planned.stage?.from.base.span ?? planned.span;
  try {
    return await deps.resolver.image(name, { platform: deps.platform, span }, signal);
  } catch (error) {
    if (!(error instanceof BuildError) || error.span !== undefined) throw error;
    const similar = suggest(planned.baseText, [...deps.options.stageNames, ...COMMON_IMAGES]);
    const didYouMean =
      similar === undefined || similar === planned.baseText
        ? undefined
        : `did you mean ${deps.options.stageNames.includes(similar) ? "the stage " : ""}${similar}?`;
    throw error.with({ span, hint: joinHints(didYouMean, error.hint) });
  }
}

const COMMON_IMAGES = ["alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"];

function detectPlatform(
  image: { readonly os: string; readonly architecture: string },
  target: Platform,
  runnable: readonly Platform[] | undefined,
): Platform {
  const isSame = (platform: Platform): boolean =>
    platform.os === image.os && platform.architecture === image.architecture;
  if (isSame(target)) return target;
  return runnable?.find(isSame) ?? target;
}
