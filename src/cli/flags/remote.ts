import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { parsePlace } from "../../../lib/reapi/place.ts";
import type { CacheOptions, CacheTo } from "../../engine/caches/cache-options.ts";
import type { RemoteOptions } from "../../engine/cluster/remote-options.ts";

/** The flags that name a cluster, and what it asks of a client. */
export interface ClusterFlags {
  readonly remote?: string;
  readonly remoteHeader: readonly string[];
  readonly remoteCert?: string;
  readonly remoteKey?: string;
  readonly remoteCa?: string;
  readonly remoteProperty: readonly string[];
}

/** The flags for other machines that run steps. */
export interface RemoteFlags extends ClusterFlags {
  readonly remoteJobs?: string;
  readonly remoteFallback?: string;
}

/** Declares them for builds. */
export function declareRemote(build: Command): void {
  build.option(
    "--remote <url>",
    "run steps on a cluster: grpc://HOST:PORT/INSTANCE or grpcs:// (KILN_REMOTE; --remote=off)",
  );
  declareAccess(build);
  build.option("--remote-jobs <count>", "steps that run there at one time (default: 128)");
  build.option("--remote-fallback <place>", "local: steps run here when it is away at the start");
}

/** Declares the flags of a command that looks at a cluster. */
export function declareCluster(command: Command, text: string): void {
  command.option("--remote <url>", text);
  declareAccess(command);
}

function declareAccess(build: Command): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  build.option(
    "--remote-header <name: value>",
    "sent to it with every call, repeatable (KILN_REMOTE_HEADER)",
    each,
    [],
  );
  build.option("--remote-cert <path>", "a client certificate for it, PEM (KILN_REMOTE_CERT)");
  build.option("--remote-key <path>", "the certificate's key, PEM (KILN_REMOTE_KEY)");
  build.option("--remote-ca <path>", "the authorities that it is checked against, PEM (KILN_REMOTE_CA)");
  build.option("--remote-property <name=value>", "a property that its workers must have, repeatable", each, []);
}

/**
 * Reads the flags; `undefined` where all steps run here.
 * @throws {BuildError} `cli/usage`
 */
export function remoteOptions(
  flags: RemoteFlags,
  env: Readonly<Record<string, string | undefined>>,
): RemoteOptions | undefined {
  const fallback = flags.remoteFallback ?? "";
  if (fallback !== "" && fallback !== "local") {
    throw new BuildError("cli/usage", `Cannot use --remote-fallback ${JSON.stringify(fallback)}: it is local`);
  }
  const jobs = flags.remoteJobs ?? "";
  if (jobs !== "" && !/^[1-9]\d{0,4}$/.test(jobs)) {
    throw new BuildError("cli/usage", `Cannot use --remote-jobs ${JSON.stringify(jobs)}: it is a number from 1`);
  }
  const url = flags.remote || env["KILN_REMOTE"] || "";
  if (url === "" || url === "off") return undefined;
  return {
    ...clusterOptions(url, flags.remote ? "--remote" : "KILN_REMOTE", flags),
    jobs: jobs === "" ? undefined : Number(jobs),
    fallsBack: fallback === "local",
  };
}

/**
 * Reads the flags that name a cluster.
 * @param what the name of the flag or variable with the URL
 * @throws {BuildError} `cli/usage`
 */
export function clusterOptions(
  url: string,
  what: string,
  flags: ClusterFlags,
): Required<Pick<RemoteOptions, "url" | "properties" | "access">> {
  return {
    url: parsePlace(url, what).url,
    properties: flags.remoteProperty.map(property),
    access: {
      headers: flags.remoteHeader.length === 0 ? undefined : flags.remoteHeader,
      certificate: flags.remoteCert || undefined,
      key: flags.remoteKey || undefined,
      ca: flags.remoteCa || undefined,
    },
  };
}

/**
 * Adds the cluster to the caches of a build whose steps it runs: equal steps of other machines are found under kiln's own
 * keys too.
 */
export function withClusterCache(
  cache: CacheOptions,
  remote: RemoteOptions | undefined,
  mode: string | undefined,
): CacheOptions {
  if (remote === undefined || mode === "off" || !/^grpcs?:/.test(remote.url)) return cache;
  const place = { kind: "reapi", url: remote.url } as const;
  const to: CacheTo = {
    place,
    mode: "max",
    mounts: false,
    // Blobs that the steps left there, as they are.
    compression: "uncompressed",
    compressionLevel: undefined,
    keepDays: undefined,
    sign: undefined,
    producer: "kiln",
    ignoreError: true,
    onlyNew: true,
  };
  return { ...cache, from: [...cache.from, place], to: mode === "read" ? cache.to : [...cache.to, to] };
}

function property(text: string): { readonly name: string; readonly value: string } {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return { name, value };
  throw new BuildError("cli/usage", `Cannot use --remote-property ${JSON.stringify(text)}: it has the form NAME=VALUE`);
}
