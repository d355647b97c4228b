import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import type { Credentials, CredentialSource } from "./registry.ts";

/** No credentials for anybody. */
export const anonymous: CredentialSource = { get: async () => undefined };

export interface DockerConfigOptions {
  /** `$DOCKER_CONFIG`, or `~/.docker`. */
  readonly directory: string;
  /** Environment of credential helpers: they need PATH and HOME. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Credentials as docker keeps them in `config.json`: `credHelpers` for a registry, else `credsStore`, else `auths`.
 * The file is read at the first question. @see https://docs.docker.com/reference/cli/docker/login/#credential-stores
 */
export function dockerCredentials(options: DockerConfigOptions): CredentialSource {
  let config: Promise<DockerConfig> | undefined;
  return {
    async get(registry, signal) {
      config ??= readConfig(join(options.directory, "config.json"));
      const { helpers, store, auths } = await config;
      const helper = helpers.get(registry) ?? store;
      const fromHelper =
        helper === undefined ? undefined : await askHelper(helper, serverOf(registry), options.env, signal);
      return fromHelper ?? auths.get(registry);
    },
  };
}

interface DockerConfig {
  /** Keys are registries as in references. */
  readonly helpers: ReadonlyMap<string, string>;
  readonly store: string | undefined;
  readonly auths: ReadonlyMap<string, Credentials>;
}

async function readConfig(path: string): Promise<DockerConfig> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR")
      return { helpers: new Map(), store: undefined, auths: new Map() };
    throw new BuildError("registry/unauthorized", `Cannot read "${path}": ${messageOf(error)}`, { cause: error });
  }
  const json = parseJson(content);
  if (!isRecord(json)) {
    throw new BuildError("registry/unauthorized", `Cannot read "${path}": it is not a JSON object`, {
      hint: "repair the file, or log in anew",
    });
  }
  const helpers = new Map<string, string>();
  for (const [server, helper] of entriesOf(json["credHelpers"]))
    if (typeof helper === "string") helpers.set(registryOf(server), helper);
  const auths = new Map<string, Credentials>();
  for (const [server, entry] of entriesOf(json["auths"])) {
    const credentials = isRecord(entry) ? credentialsIn(entry) : undefined;
    // An exact name beats one with a scheme or path, whichever comes first in the file.
    if (credentials !== undefined && (server === registryOf(server) || !auths.has(registryOf(server))))
      auths.set(registryOf(server), credentials);
  }
  const store = json["credsStore"];
  return { helpers, store: typeof store === "string" && store !== "" ? store : undefined, auths };
}

function entriesOf(value: unknown): [string, unknown][] {
  return isRecord(value) ? Object.entries(value) : [];
}

/** `https://index.docker.io/v1/` and `localhost:5000`: from docker's keys to names in references. */
function registryOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return host === "index.docker.io" || host === "registry-1.docker.io" ? "docker.io" : host;
}

/** The key under which docker login stores credentials. */
function serverOf(registry: string): string {
  return registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
}

function credentialsIn(entry: Record<string, unknown>): Credentials | undefined {
  const member = (name: string): string | undefined => {
    const value = entry[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const registryToken = member("registrytoken");
  if (registryToken !== undefined) return { kind: "registry-token", token: registryToken };
  const identityToken = member("identitytoken");
  if (identityToken !== undefined) return { kind: "identity-token", token: identityToken };
  // `auth` is base64 of `user:password`; a password may hold colons, and old files end in NUL bytes.
  const decoded = Buffer.from(member("auth") ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  if (colon > 0) return { kind: "basic", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  const username = member("username");
  const password = member("password");
  return username === undefined || password === undefined ? undefined : { kind: "basic", username, password };
}

/** Runs `docker-credential-<name> get`. `undefined` when it knows nobody there. */
async function askHelper(
  name: string,
  server: string,
  env: DockerConfigOptions["env"],
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (why: string, cause?: unknown): BuildError =>
    new BuildError("registry/unauthorized", `Cannot get the credentials for "${server}": ${why}`, {
      hint: `check that "${program}" works, or remove it from docker's config.json`,
      cause,
    });
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw fail(`${JSON.stringify(name)} is not the name of a credential helper`);
  const child = spawn(program, ["get"], { env: { ...env }, signal, stdio: ["pipe", "pipe", "ignore"] });
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  });
  // A helper that does not read its input is not to be mistaken for a broken pipe of ours.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${server}\n`);
  let output: string;
  let status: number | undefined;
  try {
    [output, status] = await Promise.all([text(child.stdout), ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw errnoOf(error) === "ENOENT" ? fail(`"${program}" is not installed`) : fail(messageOf(error), error);
  }
  // By the helpers' protocol this text, on stdout, is how "no such entry" is told from other failures.
  if (status !== 0 && output.includes("credentials not found")) return undefined;
  if (status !== 0) throw fail(`"${program}" ended with status ${status ?? "unknown"}`);
  const json = parseJson(output);
  const username: unknown = isRecord(json) ? json["Username"] : undefined;
  const secret: unknown = isRecord(json) ? json["Secret"] : undefined;
  if (typeof username !== "string" || typeof secret !== "string") throw fail(`"${program}" answered in another format`);
  if (username === "<token>") return { kind: "identity-token", token: secret };
  return username === "" ? undefined : { kind: "basic", username, password: secret };
}
