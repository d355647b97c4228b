import { join, resolve } from "node:path";
import { parseReference } from "../../../lib/core/reference.ts";
import { KANIKO_FLAGS } from "./flags.ts";
import { type GivenFlags, usage } from "./words.ts";

/** The surroundings that kaniko looks at. */
export interface ExecutorPlace {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  exists(path: string): boolean;
}

/** Settings for registries, in the words of docker's own files. */
export interface RegistrySettings {
  /** URLs of mirrors of Docker Hub. */
  readonly mirrors: readonly string[];
  /** Registries, or networks, that may be asked without TLS. */
  readonly insecure: readonly string[];
  /** Paths of certificates by registry. */
  readonly authorities: readonly (readonly [registry: string, path: string])[];
  readonly clients: readonly (readonly [registry: string, certificate: string, key: string])[];
}

/** A file for the digest of the result: alone, or behind each name. */
export interface DigestFile {
  readonly path: string;
  readonly holds: "digest" | "names" | "tagged-names";
}

/** One run of kaniko's executor in kiln's words. */
export interface ExecutorPlan {
  /** Words for kiln, `build` first. */
  readonly words: readonly string[];
  /** Lines for the user: flags without a meaning. */
  readonly notes: readonly string[];
  /** An archive that the build reads from standard input. */
  readonly archive: string | undefined;
  readonly settings: RegistrySettings;
  readonly destinations: readonly string[];
  readonly digestFiles: readonly DigestFile[];
  /** Variables that the build sees besides those of the process. */
  readonly env: Readonly<Record<string, string>>;
}

/** Networks of all addresses: a pull without TLS may go to any registry. */
const ANYWHERE = ["0.0.0.0/0", "::/0"];
const DEFAULT_CONTEXT = "/workspace/";
const DEFAULT_DIRECTORY = "/kaniko";

/**
 * Translates flags of kaniko's executor.
 * @throws {BuildError} `cli/usage` for what cannot be meant, or is refused
 */
export function translate(flags: GivenFlags, place: ExecutorPlace): ExecutorPlan {
  const destinations = flags.lists.get("destination") ?? [];
  const isPushed = flags.switches.get("no-push") !== true;
  if (isPushed && destinations.length === 0) throw usage("you must provide --destination, or use --no-push");
  for (const name of flags.names) {
    const way = KANIKO_FLAGS[name]?.refused;
    if (way !== undefined) throw usage(`Cannot use --${name} here`, way);
  }
  const context = contextWords(flags, place);
  const settings = registrySettings(flags, place, destinations);
  return {
    words: [
      ...directoryWords(flags, place),
      "build",
      ...logWords(flags),
      ...repeated(flags, "destination", "--tag"),
      ...repeated(flags, "build-arg", "--build-arg"),
      ...repeated(flags, "label", "--label"),
      ...repeated(flags, "annotation", "--annotation"),
      ...repeated(flags, "secret", "--secret"),
      ...single(flags, "target", "--target"),
      ...single(flags, "custom-platform", "--platform"),
      ...(flags.switches.get("reproducible") === true ? ["--reproducible"] : []),
      ...(flags.switches.get("single-snapshot") === true ? ["--squash"] : []),
      ...outputWords(flags, isPushed && destinations.length > 0),
      ...cacheWords(flags, destinations),
      ...context.words,
    ],
    notes: flags.names.flatMap((name) => {
      const why = KANIKO_FLAGS[name]?.idle;
      return why === undefined ? [] : [`--${name} means nothing here: ${why}`];
    }),
    archive: context.archive,
    settings,
    destinations,
    digestFiles: digestFiles(flags),
    env: context.env,
  };
}

function repeated(flags: GivenFlags, name: string, word: string): readonly string[] {
  return (flags.lists.get(name) ?? []).map((value) => `${word}=${value}`);
}

function single(flags: GivenFlags, name: string, word: string): readonly string[] {
  const value = flags.texts.get(name);
  return value === undefined ? [] : [`${word}=${value}`];
}

/** Keeps the store below kaniko's folder where that is another than the usual one: it is then on a volume. */
function directoryWords(flags: GivenFlags, { env }: ExecutorPlace): readonly string[] {
  const directory = flags.texts.get("kaniko-dir") ?? env["KANIKO_DIR"] ?? DEFAULT_DIRECTORY;
  const isOther = directory !== "" && directory !== DEFAULT_DIRECTORY && (env["KILN_ROOT"] ?? "") === "";
  return isOther ? [`--root=${join(directory, "kiln")}`] : [];
}

/** kaniko prints one line after the other, and so does a build in a job's log. */
function logWords(flags: GivenFlags): readonly string[] {
  if (flags.texts.get("log-format") === "json") return ["--progress=rawjson"];
  const isSilent = ["error", "fatal", "panic"].includes(flags.texts.get("verbosity") ?? "");
  return [`--progress=${isSilent ? "quiet" : "plain"}`];
}

function outputWords(flags: GivenFlags, isPushed: boolean): readonly string[] {
  const codec = flags.texts.get("compression");
  const level = flags.texts.get("compression-level");
  const attributes = `${codec === undefined ? "" : `,compression=${codec}`}${level === undefined ? "" : `,compression-level=${level}`}`;
  const archive = flags.texts.get("tar-path");
  const layout = flags.texts.get("oci-layout-path");
  return [
    ...(isPushed ? [`--output=type=registry${attributes}`] : []),
    ...(archive === undefined ? [] : [`--output=${attribute("type=docker", "dest", archive)}`]),
    ...(layout === undefined ? [] : [`--output=${attribute("type=oci,tar=false", "dest", layout)}${attributes}`]),
  ];
}

/** Writes a path as an attribute, quoted as CSV where it has a comma or a quote. */
function attribute(others: string, name: string, value: string): string {
  const field = `${name}=${value}`;
  return /[",]/.test(field) ? `${others},"${field.replaceAll('"', '""')}"` : `${others},${field}`;
}

function cacheWords(flags: GivenFlags, destinations: readonly string[]): readonly string[] {
  if (flags.switches.get("cache") !== true) return [];
  const repository = flags.texts.get("cache-repo") ?? inferredCache(destinations[0]);
  const prefix = "oci:";
  const local = repository.startsWith(prefix) ? repository.slice(prefix.length) : undefined;
  const compression = flags.switches.get("compressed-caching") === false ? ",compression=uncompressed" : "";
  const from = local === undefined ? `type=registry,ref=${repository}` : attribute("type=local", "src", local);
  const to = local === undefined ? `type=registry,ref=${repository}` : attribute("type=local", "dest", local);
  const isKept =
    flags.switches.get("no-push-cache") !== true &&
    (local !== undefined || flags.switches.get("no-push") !== true || flags.texts.has("cache-repo"));
  return [`--cache-from=${from}`, ...(isKept ? [`--cache-to=${to},mode=max${compression}`] : [])];
}

/** Finds the repository that kaniko takes when none is named: `cache` below that of the first destination. */
function inferredCache(destination: string | undefined): string {
  if (destination === undefined)
    throw usage(
      "Cannot use --cache with --no-push: there is no repository for the cache",
      "name one: --cache-repo REGISTRY/NAME",
    );
  const { registry, repository } = parseReference(destination);
  return `${registry}/${repository}/cache`;
}

function digestFiles(flags: GivenFlags): readonly DigestFile[] {
  const kinds = [
    ["digest-file", "digest"],
    ["image-name-with-digest-file", "names"],
    ["image-name-tag-with-digest-file", "tagged-names"],
  ] as const;
  return kinds.flatMap(([name, holds]) => {
    const path = flags.texts.get(name);
    return path === undefined ? [] : [{ path, holds }];
  });
}

/** The context as the last word, and what reading it needs. */
interface Context {
  readonly words: readonly string[];
  readonly archive: string | undefined;
  readonly env: Readonly<Record<string, string>>;
}

function contextWords(flags: GivenFlags, place: ExecutorPlace): Context {
  const given = flags.texts.get("context") ?? DEFAULT_CONTEXT;
  const below = flags.texts.get("context-sub-path") ?? "";
  const [, scheme = "dir", rest = given] = /^([a-z0-9]+):\/\/(.*)$/s.exec(given) ?? [];
  switch (scheme) {
    case "dir": {
      const directory = join(rest, below);
      return plain([...dockerfileWords(flags, place, directory), directory]);
    }
    case "tar":
      if (below !== "") throw usage("Cannot use --context-sub-path with an archive", "pack the folder itself");
      return {
        ...plain([...dockerfileWords(flags, place, undefined), "-"]),
        archive: rest === "stdin" ? undefined : rest,
      };
    case "git":
      return gitContext(flags, place, { rest, below });
    case "https":
      if (below !== "") throw usage("Cannot use --context-sub-path with an archive", "pack the folder itself");
      return plain([...dockerfileWords(flags, place, undefined), given]);
    default:
      throw usage(
        `Cannot read the context ${JSON.stringify(given)}: kiln has no client for ${scheme}://`,
        `fetch it with the provider's own tool and give it as --context tar://stdin`,
      );
  }
}

function plain(words: readonly string[]): Context {
  return { words, archive: undefined, env: {} };
}

/** Finds the Dockerfile as kaniko does: the path as it stands, else below the context. */
function dockerfileWords(flags: GivenFlags, place: ExecutorPlace, directory: string | undefined): readonly string[] {
  const path = flags.texts.get("dockerfile");
  if (path === undefined) return [];
  const isHere =
    directory === undefined || /^https?:/.test(path) || place.exists(resolve(place.workingDirectory, path));
  return [`--file=${isHere ? path : join(directory, path)}`];
}

/** Writes `git://host/path#ref#commit` as a URL that git and kiln read; accounts of kaniko's variables become secrets. */
function gitContext(
  flags: GivenFlags,
  place: ExecutorPlace,
  { rest, below }: { readonly rest: string; readonly below: string },
): Context {
  const [path = "", ref = "", commit] = rest.split("#");
  const method = place.env["GIT_PULL_METHOD"] === "http" ? "http" : "https";
  const branch = gitBranch(flags);
  const wanted = commit ?? (ref === "" ? branch : ref);
  const fragment = below === "" ? wanted : `${wanted}:${below}`;
  const url = `${method}://${path.replace(/^[^@/]*@/, "")}${fragment === "" ? "" : `#${fragment}`}`;
  const { secrets, env } = gitAccount(place.env, path);
  return { words: [...secrets, ...dockerfileWords(flags, place, undefined), url], archive: undefined, env };
}

/** Reads `--git branch=NAME,single-branch=true`. Submodules come in any case, and only what is needed is fetched. */
function gitBranch(flags: GivenFlags): string {
  const fields = (flags.lists.get("git") ?? []).flatMap((text) => text.split(","));
  return fields.find((field) => field.startsWith("branch="))?.slice("branch=".length) ?? "";
}

function gitAccount(
  env: ExecutorPlace["env"],
  path: string,
): { readonly secrets: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const inUrl = /^([^@/]*)@/.exec(path)?.[1];
  const token = env["GIT_TOKEN"];
  const [name = "", password = ""] =
    inUrl === undefined ? [env["GIT_USERNAME"], env["GIT_PASSWORD"]] : inUrl.split(":");
  const account = token !== undefined && token !== "" ? `${token}:` : `${name}:${password}`;
  if (account === ":") return { secrets: [], env: {} };
  const header = `basic ${Buffer.from(account).toString("base64")}`;
  return { secrets: ["--secret=id=GIT_AUTH_HEADER,env=KILN_EXECUTOR_GIT"], env: { KILN_EXECUTOR_GIT: header } };
}

function registrySettings(
  flags: GivenFlags,
  { env }: ExecutorPlace,
  destinations: readonly string[],
): RegistrySettings {
  const isOn = (...names: readonly string[]): boolean => names.some((name) => flags.switches.get(name) === true);
  const listed = (name: string): readonly string[] => flags.lists.get(name) ?? [];
  const named = env["KANIKO_REGISTRY_MIRROR"];
  const mirrors = [...(named === undefined || named === "" ? [] : [named]), ...listed("registry-mirror")];
  const cache = flags.texts.get("cache-repo");
  const pushed = [...destinations, ...(cache === undefined || cache.startsWith("oci:") ? [] : [cache])];
  return {
    mirrors: mirrors.map((mirror) => (/^https?:\/\//.test(mirror) ? mirror : `https://${mirror}`)),
    insecure: [
      ...(isOn("insecure", "skip-tls-verify") ? pushed.map((name) => parseReference(name).registry) : []),
      ...listed("insecure-registry"),
      ...listed("skip-tls-verify-registry"),
      ...(isOn("insecure-pull", "skip-tls-verify-pull") ? ANYWHERE : []),
    ],
    authorities: listed("registry-certificate").map((text) => {
      const [registry, path] = assigned("registry-certificate", text);
      return [registry, path] as const;
    }),
    clients: listed("registry-client-cert").map((text) => {
      const [registry, paths] = assigned("registry-client-cert", text);
      const [certificate = "", key = ""] = paths.split(",");
      if (key === "")
        throw usage(`Cannot use --registry-client-cert ${JSON.stringify(text)}`, "write REGISTRY=CERTIFICATE,KEY");
      return [registry, certificate, key] as const;
    }),
  };
}

function assigned(name: string, text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw usage(`Cannot use --${name} ${JSON.stringify(text)}`, "write REGISTRY=PATH");
}
