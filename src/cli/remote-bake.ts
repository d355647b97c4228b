import { readFileSync } from "node:fs";
import { posix, resolve } from "node:path";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { hubUrl, parseGitUrl } from "../../lib/core/git-url.ts";
import type { SourceText } from "../../lib/core/span.ts";
import type { Target } from "../bake/definition.ts";
import { normalizeEntry } from "../bake/entries.ts";
import { isList, isMap, mapOf, toText, type Value } from "../bake/hcl/value.ts";
import type { Plan } from "../bake/resolve.ts";
import type { BuildOptions } from "../engine/options.ts";
import { DEFAULT_NAMES } from "./bake-files.ts";
import type { CommandContext } from "./context.ts";

/** The words of `kiln bake [URL [CONTEXT]] [TARGET...]`. */
export interface BakeWords {
  /** The repository, archive or file with the definition. */
  readonly url: string | undefined;
  /** The value of BAKE_CMD_CONTEXT. */
  readonly context: string;
  readonly targets: readonly string[];
}

/** Takes up to two URLs from the beginning of the words. */
export function bakeWords(words: readonly string[]): BakeWords {
  const [url, context] = words;
  if (url === undefined || !isRemote(url)) return { url: undefined, context: "cwd://", targets: words };
  if (context === undefined || !isRemote(context)) return { url, context: "cwd://", targets: words.slice(1) };
  return { url, context, targets: words.slice(2) };
}

function isRemote(text: string): boolean {
  return /^https?:\/\//.test(text) || hubUrl(text) !== undefined || parseGitUrl(text) !== undefined;
}

type Credentials = Pick<BuildOptions, "secrets" | "ssh">;

/** Finds buildx's variables for private repositories: a token or header, and the keys of ssh. */
function credentialsOf(url: string, { env }: CommandContext["host"]): Credentials {
  const secrets = ["TOKEN", "HEADER"].flatMap((name) => {
    const variable = `BUILDX_BAKE_GIT_AUTH_${name}`;
    return (env[variable] ?? "") === "" ? [] : [{ id: `GIT_AUTH_${name}`, from: "env" as const, variable }];
  });
  const isSsh = /^ssh:\/\/|^[\w-]+@/.test(url);
  const paths = (env["BUILDX_BAKE_GIT_SSH"] ?? "").split(",").filter((path) => path !== "");
  return { secrets, ssh: isSsh || paths.length > 0 ? [{ id: "default", paths }] : [] };
}

/** A definition from elsewhere. */
export interface RemoteBake {
  readonly sources: readonly SourceText[];
  /** Gives local paths of targets their place in the repository. */
  readonly placed: (plan: Plan) => Plan;
  /** Names the repository where all of it is a context, as buildx prints it. */
  readonly shown: (plan: Plan) => Plan;
}

/**
 * Reads the definition behind a URL. Names are files in it; those that begin with `cwd://` are local, and not read here.
 * @throws {BuildError} `bake/not-found`
 */
export async function readRemoteBake(
  context: CommandContext,
  url: string,
  { names, offline }: { readonly names: readonly string[]; readonly offline: boolean },
): Promise<RemoteBake> {
  const { readRemoteDefinition } = await import("../engine/remote-definition.ts");
  const asked = names.filter((name) => !name.startsWith("cwd://"));
  const source = {
    ...credentialsOf(url, context.host),
    context: url,
    offline,
    names: asked.length === 0 ? DEFAULT_NAMES : asked,
  };
  const { kind, texts } = await readRemoteDefinition(source, context.environment, () => {}, context.signal);
  const missing = asked.find((name) => !texts.some((text) => text.name === name));
  if (kind === "tree" && (missing !== undefined || texts.length === 0)) {
    throw new BuildError("bake/not-found", `couldn't find a bake definition in ${url}`, {
      hint: `it has ${missing === undefined ? `none of ${DEFAULT_NAMES.join(", ")}` : `no file ${missing}`}`,
    });
  }
  if (kind === "file") return { sources: texts, placed: (plan) => plan, shown: (plan) => plan };
  const credentials = credentialsOf(url, context.host);
  return {
    sources: texts,
    placed: (plan) => withTargets(plan, (target) => placedTarget(target, url, credentials, context)),
    shown: (plan) =>
      withTargets(plan, (target) =>
        target.fields.get("context") === "."
          ? { ...target, fields: new Map([...target.fields, ["context", url]]) }
          : target,
      ),
  };
}

function withTargets(plan: Plan, change: (target: Target) => Target): Plan {
  return { ...plan, targets: new Map([...plan.targets].map(([name, target]) => [name, change(target)] as const)) };
}

function placedTarget(target: Target, url: string, credentials: Credentials, { host }: CommandContext): Target {
  const fields = new Map(target.fields);
  const source = toText(fields.get("context") ?? null) ?? ".";
  const dockerfile = toText(fields.get("dockerfile") ?? null) ?? "Dockerfile";
  fields.set("context", placeOf(source, url));
  const contexts = fields.get("contexts") ?? null;
  if (isMap(contexts)) {
    const named = [...contexts].map(([name, value]) => [name, placeOf(toText(value) ?? "", url)] as const);
    fields.set("contexts", mapOf(named));
  }
  if (dockerfile.startsWith("cwd://")) {
    fields.set("dockerfile-inline", readLocal(resolve(host.workingDirectory, dockerfile.slice("cwd://".length))));
  } else if (source.startsWith("cwd://") && !fields.has("dockerfile-inline")) {
    throw new BuildError(
      "bake/definition",
      `Cannot bake target ${target.name}: its context is local, and its Dockerfile is in the repository`,
      { hint: 'name a local one with dockerfile = "cwd://Dockerfile"' },
    );
  }
  if (fields.get("context") !== source) addCredentials(fields, credentials);
  return { ...target, fields };
}

function addCredentials(fields: Map<string, Value>, { secrets = [], ssh = [] }: Credentials): void {
  const add = (name: string, entries: readonly Value[]): void => {
    const before = fields.get(name) ?? null;
    if (entries.length > 0) fields.set(name, [...(isList(before) ? before : []), ...entries]);
  };
  const secret = secrets.map((one) => [`id=${one.id}`, one.from === "env" ? `env=${one.variable}` : ""].join(","));
  add(
    "secret",
    secret.map((text) => normalizeEntry("secret", text)),
  );
  add(
    "ssh",
    ssh.map(({ id, paths }) => normalizeEntry("ssh", paths.length === 0 ? id : `${id}=${paths.join(",")}`)),
  );
}

/** Gives a relative path its place in the repository. */
function placeOf(path: string, url: string): string {
  if (path === "" || /^[a-z][a-z+.-]*:|^git@|^github\.com\//.test(path)) return path;
  const git = parseGitUrl(hubUrl(url) ?? url);
  const inside = posix
    .join("/", git?.subdir ?? "", path)
    .slice(1)
    .replace(/\/$/, "");
  const isOutside = posix.normalize(posix.join(git?.subdir ?? "", path)).startsWith("..");
  if (isOutside || posix.isAbsolute(path))
    throw new BuildError("bake/definition", `Cannot use the context ${JSON.stringify(path)}: it leads out of ${url}`);
  if (posix.normalize(path) === ".") return url;
  if (git === undefined) {
    throw new BuildError(
      "context/unsupported",
      `Cannot use the context ${JSON.stringify(path)}: it is a directory of an archive`,
      { hint: "of an archive only the whole can be a context; a git repository has directories" },
    );
  }
  const [place = "", fragment = ""] = (hubUrl(url) ?? url).split(/#(.*)/s);
  const [base = "", query = ""] = place.split(/\?(.*)/s);
  const kept = query.split("&").filter((one) => one !== "" && !one.startsWith("subdir="));
  const escaped = /^[a-z]+:\/\//.test(base) ? encodeURI(inside).replaceAll("#", "%23") : inside;
  return `${base}${kept.length === 0 ? "" : `?${kept.join("&")}`}#${fragment.split(":")[0] ?? ""}:${escaped}`;
}

function readLocal(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new BuildError("dockerfile/not-found", `Cannot read ${JSON.stringify(path)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
