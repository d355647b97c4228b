import type { Digest } from "../../lib/core/digest.ts";
import { parsePlatform } from "../../lib/core/platform.ts";
import { familiarReference, formatReference, parseReference } from "../../lib/core/reference.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import { exportStored } from "../engine/images/export-stored.ts";
import { type ImageFacts, summaryOf, viewImage } from "../engine/images/image-summary.ts";
import { pullImage } from "../engine/images/pull-image.ts";
import { parseOutput } from "../export/parse-output.ts";
import type { Hooks } from "./hooks.ts";
import { type PlaceOptions, processEnvironment } from "./process-environment.ts";

/** Options of an exchange with a registry that are plain data. */
export interface PlainRegistryOptions extends PlaceOptions {
  /** `linux/arm64`; default: this machine's platform for a pull, all platforms for a push. */
  readonly platform?: string | undefined;
  /** True to accept plain HTTP and unverified certificates. */
  readonly insecure?: boolean | undefined;
  /** The account; default: that of docker's and podman's files. */
  readonly credentials?: { readonly username: string; readonly password: string } | undefined;
  /** Compression of layers that were built here, for a push. Default: gzip. */
  readonly compression?: "gzip" | "zstd" | "uncompressed" | undefined;
}

/** A request about one image. */
export interface ImageRequest {
  readonly name: "pull" | "push" | "inspect";
  readonly image: string;
  readonly options: PlainRegistryOptions;
}

/** An image in a registry. */
export interface RegistryImage {
  /** The familiar name, `app:1.0`. */
  readonly name: string;
  /** Digest of the manifest, or of the index. */
  readonly digest: Digest;
}

/** Answers a request about an image in this process. */
export function imageHere(asked: ImageRequest, hooks: Hooks): Promise<RegistryImage | ImageFacts> {
  switch (asked.name) {
    case "pull":
      return pull(asked, hooks);
    case "push":
      return push(asked, hooks);
    case "inspect":
      return inspect(asked);
    default:
      return asked.name satisfies never;
  }
}

async function pull({ image, options }: ImageRequest, { progress, signal }: Hooks): Promise<RegistryImage> {
  const environment = processEnvironment(options);
  const reference = parseReference(image);
  const platform = platformOf(options) ?? environment.platform;
  await using engine = new Engine(environment, engineOptions(reference.registry, options, { progress }));
  const found = await pullImage(engine, { reference, platform, isStep: false }, progress, signal);
  return { name: familiarReference(reference), digest: found.manifest };
}

async function push({ image, options }: ImageRequest, { progress, signal }: Hooks): Promise<RegistryImage> {
  const environment = processEnvironment(options);
  const reference = parseReference(image);
  const output = parseOutput(
    new Map([
      ["type", "registry"],
      ["store", "false"],
      ["name", formatReference(reference)],
      ["compression", options.compression ?? "gzip"],
    ]),
  );
  await using engine = new Engine(environment, engineOptions(reference.registry, options, { progress }));
  const sent = await exportStored(engine, { image, platform: platformOf(options), output, progress }, signal);
  if (sent?.manifest === undefined) throw new Error("a push without a manifest");
  return { name: familiarReference(reference), digest: sent.manifest.digest };
}

async function inspect({ image, options }: ImageRequest): Promise<ImageFacts> {
  const environment = processEnvironment(options);
  const platform = platformOf(options);
  await using engine = new Engine(environment, { progress: () => {} });
  const wanted = { platform: platform ?? environment.platform, isRequired: platform !== undefined };
  return summaryOf(engine.store, viewImage(engine.store, image, wanted));
}

function platformOf({ platform, ...place }: PlainRegistryOptions): ReturnType<typeof parsePlatform> | undefined {
  return platform === undefined ? undefined : parsePlatform(platform, processEnvironment(place).platform);
}

function engineOptions(
  registry: string,
  { insecure, credentials }: PlainRegistryOptions,
  { progress }: Pick<Hooks, "progress">,
): EngineOptions {
  const own =
    credentials === undefined ? undefined : { registry, credentials: { kind: "basic", ...credentials } as const };
  return { progress, insecureRegistries: insecure === true ? [registry] : [], accounts: { own } };
}
