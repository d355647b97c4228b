import { basename } from "node:path";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { readSettings } from "../core/given-file.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { serverOf } from "./account-file.ts";
import { accountKey, accountKeysOf } from "./account-keys.ts";
import { askHelper, HelperError } from "./credential-helper.ts";
import type { Credentials, CredentialSource, Notice } from "./registry.ts";

export interface AccountFilesOptions {
  /** Files in docker's format, the first one first: docker's `config.json`, `auth.json` of podman, buildah and skopeo. */
  readonly files: readonly string[];
  /** Environment of credential helpers: they need PATH and HOME. `DOCKER_AUTH_CONFIG` has entries that come first. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reports a helper that failed where the file has an entry to use instead. */
  readonly notice?: Notice;
}

/**
 * Finds credentials in the files where docker and podman keep them. Inside a file: `credHelpers` for a registry, else
 * `credsStore`, else `auths`. Entries may be for a path of a registry: the longest one that the repository lies below counts,
 * then the registry's own, and never that of another path. The first file that has an entry decides. A file is read at the
 * first question that comes to it.
 * @see https://docs.docker.com/reference/cli/docker/login/#credential-stores
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
export function accountsInFiles(options: AccountFilesOptions): CredentialSource {
  const configs = new Map<string, Promise<DockerConfig>>();
  const configOf = (path: string): Promise<DockerConfig> => {
    let config = configs.get(path);
    if (config === undefined) {
      config = readConfig(path, path === options.files[0] ? options.env : {});
      configs.set(path, config);
    }
    return config;
  };
  return {
    async get(repository, signal) {
      const keys = accountKeysOf(repository);
      let failure: HelperError | undefined;
      for (const path of options.files) {
        try {
          const found = await new Lookup(await configOf(path), { ...options, path }, signal).find(keys);
          if (found !== undefined) return found;
        } catch (error) {
          if (!(error instanceof HelperError)) throw error;
          failure ??= error;
        }
      }
      if (failure !== undefined) throw failure;
      return undefined;
    },
  };
}

interface DockerConfig {
  /** Programs by key; an empty name means that the file itself has the credentials. */
  readonly helpers: ReadonlyMap<string, string>;
  readonly store: string | undefined;
  readonly accounts: ReadonlyMap<string, Account>;
}

/** An entry of `auths`. */
interface Account {
  /** Server name as written: credential stores use it as their key. */
  readonly server: string;
  /** Absent where a credential store keeps them. */
  readonly credentials: Credentials | undefined;
}

class Lookup {
  readonly #config: DockerConfig;
  readonly #options: AccountFilesOptions & { readonly path: string };
  readonly #signal: AbortSignal;

  constructor(config: DockerConfig, options: AccountFilesOptions & { readonly path: string }, signal: AbortSignal) {
    this.#config = config;
    this.#options = options;
    this.#signal = signal;
  }

  /**
   * Finds the credentials of the first key that has some.
   * @throws {HelperError} when there are none, and a helper that may have some failed
   */
  async find(keys: readonly string[]): Promise<Credentials | undefined> {
    let failure: HelperError | undefined;
    for (const key of keys) {
      try {
        const found = await this.#fromHelper(key, key === keys.at(-1));
        if (found !== undefined) return found;
      } catch (error) {
        if (!(error instanceof HelperError)) throw error;
        failure ??= error;
      }
      const { credentials } = this.#config.accounts.get(key) ?? {};
      if (credentials === undefined) continue;
      if (failure?.isInstalled === true)
        this.#options.notice?.(`${failure.message}; the entry in ${basename(this.#options.path)} is used`);
      return credentials;
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  async #fromHelper(key: string, isRegistry: boolean): Promise<Credentials | undefined> {
    const account = this.#config.accounts.get(key);
    const own = this.#config.helpers.get(key);
    // The store holds what `docker login` was given, namely registries; for paths it is asked only when an entry says
    // so.
    const helper = own ?? (isRegistry || account !== undefined ? this.#config.store : undefined);
    if (helper === undefined || helper === "") return undefined;
    const servers = new Set([serverOf(key), ...(account === undefined ? [] : [account.server])]);
    for (const server of servers) {
      const found = await askHelper(helper, server, this.#options.env, this.#signal);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** Reads a file; `env` may hold entries that come before the file's. */
async function readConfig(path: string, env: Readonly<Record<string, string | undefined>>): Promise<DockerConfig> {
  const json = objectIn(await contentOf(path), `"${path}"`);
  const first = objectIn(env["DOCKER_AUTH_CONFIG"] ?? "", "the variable DOCKER_AUTH_CONFIG");
  const helpers = new Map<string, string>();
  for (const [server, helper] of entriesOf(json["credHelpers"]))
    if (typeof helper === "string") helpers.set(accountKey(server), helper);
  const accounts = new Map<string, Account>();
  for (const [server, entry] of entriesOf(json["auths"])) {
    const key = accountKey(server);
    const credentials = isRecord(entry) ? credentialsIn(entry) : undefined;
    const known = accounts.get(key);
    // Of several spellings of one place the plain name counts, wherever it stands in the file.
    if (known?.credentials === undefined || (credentials !== undefined && server === key && known.server !== key))
      accounts.set(key, { server, credentials });
  }
  // Credentials given for this one run take precedence.
  for (const [server, entry] of entriesOf(first["auths"])) {
    accounts.set(accountKey(server), { server, credentials: isRecord(entry) ? credentialsIn(entry) : undefined });
    helpers.set(accountKey(server), "");
  }
  const store = json["credsStore"];
  return { helpers, store: typeof store === "string" && store !== "" ? store : undefined, accounts };
}

/** Reads a file; empty where there is none. A mount of a missing file is an empty directory. */
async function contentOf(path: string): Promise<string> {
  try {
    return readSettings({ path, refuse: (why) => unreadable(`"${path}"`, why) }).toString("utf8");
  } catch (error) {
    if (error instanceof BuildError) throw error;
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(errnoOf(error) ?? "")) return "";
    throw unreadable(`"${path}"`, messageOf(error), error);
  }
}

/** Parses an object. An empty text is an empty object, as with docker. */
function objectIn(text: string, where: string): Record<string, unknown> {
  const content = text.replace(/^\uFEFF/, "").trim();
  const json = content === "" ? {} : parseJson(content);
  if (isRecord(json)) return json;
  throw unreadable(where, "it is not a JSON object");
}

function unreadable(where: string, why: string, cause?: unknown): BuildError {
  return new BuildError("registry/unauthorized", `Cannot read ${where}: ${why}`, {
    hint: "repair the file, or log in anew",
    cause,
  });
}

function entriesOf(value: unknown): [string, unknown][] {
  return isRecord(value) ? Object.entries(value) : [];
}

function credentialsIn(entry: Record<string, unknown>): Credentials | undefined {
  const member = (name: string): string | undefined => {
    const value = entry[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const registryToken = member("registrytoken");
  if (registryToken !== undefined) return { kind: "registry-token", token: registryToken };
  // `auth` is base64 of `user:password`; a password may hold colons, and old files end in NUL bytes.
  const decoded = Buffer.from(member("auth") ?? "", "base64")
    .toString("utf8")
    .replace(/\0+$/, "");
  const colon = decoded.indexOf(":");
  const identityToken = member("identitytoken");
  if (identityToken !== undefined) {
    const user = colon > 0 ? decoded.slice(0, colon) : member("username");
    return { kind: "identity-token", token: identityToken, ...(user === undefined ? {} : { username: user }) };
  }
  if (colon > 0) return { kind: "basic", username: decoded.slice(0, colon), password: decoded.slice(colon + 1) };
  const username = member("username");
  const password = member("password");
  return username === undefined || password === undefined ? undefined : { kind: "basic", username, password };
}
