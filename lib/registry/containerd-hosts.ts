import { BuildError } from "../core/errors.ts";
import { isRecord } from "../core/json.ts";

/** One server of containerd's hosts.toml. */
export interface ContainerdHost {
  /** `host[:port][/prefix]` */
  readonly name: string;
  /** Stands before the repository's name; empty or `proxy/cache`. */
  readonly below: string;
  readonly plainHttp: boolean;
  readonly skipVerify: boolean;
  /** Paths of certificate files. */
  readonly ca: readonly string[];
  readonly client: { readonly cert: string; readonly key: string } | undefined;
  readonly canPull: boolean;
}

/** A hosts.toml for one registry, or in the folder `_default` for all. */
export interface ContainerdHosts {
  readonly file: string;
  /** The registry itself, where it is not at its own name. */
  readonly server: ContainerdHost | undefined;
  /** Asked first, in order. */
  readonly hosts: readonly ContainerdHost[];
}

/**
 * Reads a parsed hosts.toml.
 * @throws {BuildError} `registry/configuration`
 * @see https://github.com/containerd/containerd/blob/main/docs/hosts.md
 */
export function hostsIn(document: Readonly<Record<string, unknown>>, file: string): ContainerdHosts {
  const bad = (why: string): BuildError =>
    new BuildError("registry/configuration", `Cannot use "${file}": ${why}`, { hint: "repair the file" });
  const { server, host = {} } = document;
  if (server !== undefined && typeof server !== "string") throw bad("server is not a text");
  if (!isRecord(host)) throw bad("host is not a table");
  const hosts = Object.entries(host).map(([url, settings]) => {
    if (!isRecord(settings)) throw bad(`host."${url}" is not a table`);
    return hostIn(url, settings, bad);
  });
  return { file, server: server === undefined ? undefined : hostIn(server, document, bad), hosts };
}

function hostIn(
  text: string,
  settings: Readonly<Record<string, unknown>>,
  bad: (why: string) => BuildError,
): ContainerdHost {
  const address = text.includes("://") ? text : `https://${text}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) throw bad(`"${text}" is no URL of a server`);
  const path = url.pathname.replace(/\/+$/, "");
  // With override_path the path has the API's version already, and what follows it belongs to the repository's name.
  const overridden = settings["override_path"] === true ? /^(.*)\/v2(?:\/(.*))?$/.exec(path) : undefined;
  if (overridden === null) throw bad(`"${text}" has override_path and no /v2 in its path`);
  const [, prefix = path.replace(/\/v2$/, ""), below = ""] = overridden ?? [];
  const capabilities = settings["capabilities"];
  return {
    name: url.host + prefix,
    below,
    plainHttp: url.protocol === "http:",
    skipVerify: settings["skip_verify"] === true,
    ca: textsOf(settings["ca"]),
    client: clientOf(settings["client"]),
    canPull: !Array.isArray(capabilities) || capabilities.includes("pull"),
  };
}

function textsOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : [];
}

/** A client certificate: one file with both, or a list of pairs of which the first counts. */
function clientOf(value: unknown): ContainerdHost["client"] {
  if (typeof value === "string") return { cert: value, key: value };
  const first: unknown = Array.isArray(value) ? value[0] : undefined;
  if (typeof first === "string") return { cert: first, key: first };
  const [cert, key] = textsOf(first);
  return cert === undefined ? undefined : { cert, key: key ?? cert };
}
