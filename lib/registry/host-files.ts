import { join } from "node:path";
import { BuildError, messageOf } from "../core/errors.ts";
import { type ContainerdHost, type ContainerdHosts, hostsIn } from "./containerd-hosts.ts";
import { dockerHosts } from "./docker-hosts.ts";
import type { HostSettings } from "./host.ts";
import { type RegistryRule, relocated, ruleFor, rulesIn } from "./registries-conf.ts";
import { namesIn, settingsIn, unreadable } from "./settings-files.ts";
import type { HostLookup, MirrorRoute, Repository, Route } from "./registry.ts";

/** The places of the files that say how registries are reached. */
export interface HostFiles {
  /** Directories of docker's engine, with `daemon.json` and `certs.d`. */
  readonly docker: readonly string[];
  /** Directories of podman, buildah and skopeo, with `registries.conf.d` and `certs.d`; the user's last. */
  readonly containers: readonly string[];
  /** The one registries.conf that counts, besides those directories' drop-ins; the first that exists. */
  readonly registriesConf: readonly string[];
  /** Files below here may give short names another meaning: those of the user, not those of a distribution. */
  readonly aliasesBelow: readonly string[];
  /** containerd's directory with a folder per registry. */
  readonly containerd: string;
  /** Registries that the command line calls insecure. */
  readonly insecure: ReadonlySet<string>;
}

/** Settings of registries, and the files that they come from. */
export interface ExplainedHosts extends HostLookup {
  route(repository: Repository): Route;
  /** Lists what was decided for a repository, and by which file. */
  explain(repository: Repository): readonly { readonly what: string; readonly file: string }[];
}

/**
 * Reads how registries are reached, from docker's, podman's and containerd's files.
 * @throws {BuildError} `registry/configuration` with the file
 */
export async function readHostFiles(files: HostFiles): Promise<ExplainedHosts> {
  const plain = dockerHosts([...files.docker, ...files.containers], files.insecure);
  const rules = await readRules(files);
  const containerd = await readContainerd(files.containerd);
  const extra = new Map<string, HostSettings>();
  const add = (name: string, settings: HostSettings): void => void extra.set(name, { ...extra.get(name), ...settings });
  for (const rule of rules) {
    const place = hostIn(rule.location ?? rule.prefix);
    if (rule.insecure && !place.startsWith("*.")) add(place, { insecure: true });
    for (const mirror of rule.mirrors) if (mirror.insecure) add(hostIn(mirror.location), { insecure: true });
  }
  for (const { server, hosts } of containerd.values()) {
    for (const host of [...hosts, ...(server === undefined ? [] : [server])]) add(host.name, settingsOf(host));
  }
  const get = (name: string): HostSettings | undefined => {
    const [one, other] = [plain.get(name), extra.get(name)];
    return one === undefined || other === undefined ? (one ?? other) : { ...one, ...other };
  };
  return {
    get,
    route: (repository) => routeBy(repository, rules, containerd, get),
    explain: (repository) => explained(repository, rules, containerd, get),
  };
}

function routeBy(
  repository: Repository,
  rules: readonly RegistryRule[],
  containerd: ReadonlyMap<string, ContainerdHosts>,
  get: HostLookup["get"],
): Route {
  const rule = ruleFor(rules, repository);
  if (rule?.blocked === true) {
    const name = `${repository.registry}/${repository.repository}`;
    throw new BuildError("registry/configuration", `Cannot use "${name}": "${rule.file}" blocks "${rule.prefix}"`, {
      hint: "remove blocked = true there, or use another image",
    });
  }
  const moved = rule?.location === undefined ? repository : relocated(rule, rule.location, repository);
  const hosts = hostsFor(containerd, moved.registry);
  const server = hosts?.server;
  const isElsewhere = server !== undefined && server.name !== moved.registry && server.name !== HUB;
  const ruled = (rule?.mirrors ?? []).map(({ location, serves }): MirrorRoute => {
    const at = relocated(rule ?? NO_RULE, location, repository);
    return { name: at.registry, repository: at.repository, serves };
  });
  const listed = (hosts?.hosts ?? []).filter(({ canPull, name }) => canPull && name !== moved.registry);
  const plain = get(moved.registry)?.mirrors ?? [];
  const others = [...listed, ...plain.map((name) => ({ name, below: "" }))].map(({ name, below }): MirrorRoute => {
    const path = below === "" ? moved.repository : `${below}/${moved.repository}`;
    return { name, repository: path, serves: "all" };
  });
  return { origin: isElsewhere ? placedAt(server.name, moved) : moved, mirrors: [...ruled, ...others] };
}

const HUB = "registry-1.docker.io";
const NO_RULE: RegistryRule = {
  file: "",
  prefix: "",
  location: undefined,
  insecure: false,
  blocked: false,
  mirrors: [],
};

/** Puts a repository below a server's prefix. */
function placedAt(server: string, { repository }: Repository): Repository {
  const slash = server.indexOf("/");
  if (slash === -1) return { registry: server, repository };
  return { registry: server.slice(0, slash), repository: `${server.slice(slash + 1)}/${repository}` };
}

function hostsFor(containerd: ReadonlyMap<string, ContainerdHosts>, registry: string): ContainerdHosts | undefined {
  return containerd.get(registry) ?? containerd.get("_default");
}

function explained(
  repository: Repository,
  rules: readonly RegistryRule[],
  containerd: ReadonlyMap<string, ContainerdHosts>,
  get: HostLookup["get"],
): readonly { readonly what: string; readonly file: string }[] {
  const rule = ruleFor(rules, repository);
  const lines: { what: string; file: string }[] = [];
  if (rule !== undefined) {
    const { file, prefix, location, mirrors } = rule;
    if (rule.blocked) lines.push({ what: `"${prefix}" is blocked`, file });
    if (location !== undefined) lines.push({ what: `"${prefix}" is read from "${location}"`, file });
    for (const mirror of mirrors) lines.push({ what: `"${mirror.location}" is a mirror`, file });
    if (rule.insecure) lines.push({ what: "plain HTTP and unverified certificates are accepted", file });
  }
  const moved = rule?.location === undefined ? repository : relocated(rule, rule.location, repository);
  const hosts = hostsFor(containerd, moved.registry);
  for (const { name } of hosts?.hosts ?? []) lines.push({ what: `"${name}" is asked first`, file: hosts?.file ?? "" });
  const settings = get(moved.registry);
  const docker = "docker's daemon.json or certs.d";
  for (const name of settings?.mirrors ?? []) lines.push({ what: `"${name}" is a mirror`, file: docker });
  if ((settings?.ca?.length ?? 0) > 0) lines.push({ what: "authorities of its own are trusted", file: docker });
  if (settings?.client !== undefined) lines.push({ what: "a client certificate is sent", file: docker });
  if (settings?.insecure === true && rule?.insecure !== true) {
    lines.push({
      what: "plain HTTP and unverified certificates are accepted",
      file: "daemon.json or the command line",
    });
  }
  return lines;
}

function hostIn(location: string): string {
  return location.split("/")[0] ?? location;
}

function settingsOf({ plainHttp, skipVerify, ca, client }: ContainerdHost): HostSettings {
  return {
    ...(plainHttp ? { plainHttp } : {}),
    ...(skipVerify ? { insecure: true } : {}),
    ...(ca.length === 0 ? {} : { ca: ca.map(needed) }),
    ...(client === undefined ? {} : { client: { cert: needed(client.cert), key: needed(client.key) } }),
  };
}

async function readRules(files: HostFiles): Promise<readonly RegistryRule[]> {
  const main = files.registriesConf.find((path) => settingsIn(path) !== undefined);
  const dropIns = files.containers.flatMap((directory) => {
    const folder = join(directory, "registries.conf.d");
    return namesIn(folder)
      .filter((name) => name.endsWith(".conf"))
      .map((name) => join(folder, name));
  });
  const rules: RegistryRule[] = [];
  for (const path of [...(main === undefined ? [] : [main]), ...dropIns]) {
    const document = await tomlIn(path);
    if (document === undefined) continue;
    const { aliases, ...rest } = document;
    const isUsers = files.aliasesBelow.some((place) => path === place || path.startsWith(`${place}/`));
    rules.push(...rulesIn(isUsers ? { ...rest, aliases } : rest, path));
  }
  return rules;
}

async function readContainerd(directory: string): Promise<ReadonlyMap<string, ContainerdHosts>> {
  const found = new Map<string, ContainerdHosts>();
  for (const name of namesIn(directory)) {
    const path = join(directory, name, "hosts.toml");
    const document = await tomlIn(path);
    if (document !== undefined) found.set(name, hostsIn(document, path));
  }
  return found;
}

/** Parses a TOML file; `undefined` when there is none. The parser is loaded when the first one is there. */
async function tomlIn(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const text = settingsIn(path);
  if (text === undefined) return undefined;
  const { parse } = await import("smol-toml");
  try {
    return parse(text);
  } catch (error) {
    const [line = ""] = messageOf(error).split("\n");
    throw unreadable(path, line, error);
  }
}

function needed(path: string): string {
  const content = settingsIn(path);
  if (content === undefined) throw unreadable(path, "there is no such file");
  return content;
}
