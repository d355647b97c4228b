/** The value that a flag takes: a text, several, or none. */
export type Takes = "text" | "list" | "switch";

/** One flag of kaniko's executor. */
export interface KanikoFlag {
  readonly takes: Takes;
  readonly short?: string;
  /** Old spellings. */
  readonly aliases?: readonly string[];
  /** The switch counts as given when it is not: kaniko's default is true. */
  readonly isOn?: true;
  /** The reason why the flag changes nothing here; the command says it and goes on. */
  readonly idle?: string;
  /** The way to the same result; the command refuses the flag and names it. */
  readonly refused?: string;
}

const SNAPSHOT = "what a step changed is known without looking at its files";
const RETRIES = "what fails in passing is tried five times";
const CACHED = "every kind of step is cached";
const CONTAINED = "a build touches no file of its own container";

/** All flags by their names without the dashes. A flag that is neither idle nor refused is read by translate.ts. */
export const KANIKO_FLAGS: Readonly<Record<string, KanikoFlag>> = {
  dockerfile: { takes: "text", short: "f" },
  context: { takes: "text", short: "c" },
  "context-sub-path": { takes: "text" },
  destination: { takes: "list", short: "d" },
  "no-push": { takes: "switch" },
  "build-arg": { takes: "list" },
  label: { takes: "list" },
  annotation: { takes: "list" },
  target: { takes: "text" },
  "custom-platform": { takes: "text", aliases: ["customPlatform"] },
  secret: { takes: "list" },
  git: { takes: "list" },
  "tar-path": { takes: "text", aliases: ["tarPath"] },
  "oci-layout-path": { takes: "text" },
  "digest-file": { takes: "text" },
  "image-name-with-digest-file": { takes: "text" },
  "image-name-tag-with-digest-file": { takes: "text" },
  cache: { takes: "switch" },
  "cache-repo": { takes: "text" },
  "no-push-cache": { takes: "switch" },
  "compressed-caching": { takes: "switch", isOn: true },
  compression: { takes: "text" },
  "compression-level": { takes: "text" },
  reproducible: { takes: "switch" },
  "single-snapshot": { takes: "switch" },
  insecure: { takes: "switch" },
  "skip-tls-verify": { takes: "switch" },
  "insecure-pull": { takes: "switch" },
  "skip-tls-verify-pull": { takes: "switch" },
  "insecure-registry": { takes: "list" },
  "skip-tls-verify-registry": { takes: "list" },
  "registry-mirror": { takes: "list" },
  "registry-certificate": { takes: "list" },
  "registry-client-cert": { takes: "list" },
  "kaniko-dir": { takes: "text" },
  verbosity: { takes: "text", short: "v" },
  "log-format": { takes: "text" },

  "snapshot-mode": { takes: "text", aliases: ["snapshotMode"], idle: SNAPSHOT },
  "use-new-run": { takes: "switch", idle: SNAPSHOT },
  "ignore-path": { takes: "list", idle: `${SNAPSHOT}; what a step writes below such a path is in the image` },
  "ignore-var-run": { takes: "switch", aliases: ["whitelist-var-run"], idle: SNAPSHOT },
  "log-timestamp": { takes: "switch", idle: "lines of steps begin with the seconds since their start" },
  cleanup: { takes: "switch", idle: CONTAINED },
  "pre-cleanup": { takes: "switch", idle: CONTAINED },
  "preserve-context": { takes: "switch", idle: CONTAINED },
  force: { takes: "switch", idle: CONTAINED },
  "force-build-metadata": {
    takes: "switch",
    idle: "instructions that change no file are in the history, as with docker",
  },
  "skip-unused-stages": { takes: "switch", idle: "stages that the target does not need are never built" },
  "cache-copy-layers": { takes: "switch", idle: CACHED },
  "cache-run-layers": { takes: "switch", idle: CACHED },
  "cache-ttl": { takes: "text", idle: "how long a registry keeps a cache is a rule of that registry" },
  "cache-dir": {
    takes: "text",
    idle: "base images are kept in the store: KILN_ROOT on a volume keeps it between pods",
  },
  "push-retry": { takes: "text", idle: RETRIES },
  "image-fs-extract-retry": { takes: "text", idle: RETRIES },
  "image-download-retry": { takes: "text", idle: RETRIES },
  "skip-push-permission-check": { takes: "switch", idle: "a push that is not allowed fails before its first layer" },
  "skip-default-registry-fallback": { takes: "switch", idle: "mirrors are asked first, and then the registry itself" },
  "push-ignore-immutable-tag-errors": { takes: "switch", idle: "a tag that must not change is an error" },
  materialize: { takes: "switch", idle: CONTAINED },

  bucket: {
    takes: "text",
    short: "b",
    refused:
      "fetch the context with the provider's own tool: aws s3 cp s3://B/context.tar.gz - | executor --context tar://stdin",
  },
  "registry-map": {
    takes: "list",
    refused: "name the mirrors in /etc/containers/registries.conf: [[registry]] with [[registry.mirror]]",
  },
  "credential-helpers": {
    takes: "list",
    refused: "name them in credHelpers of docker's config.json, and put them on PATH",
  },
};
