import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import { isRecord, parseJson } from "../core/json.ts";
import type { HostLookup } from "./registry.ts";
import type { HostSettings } from "./host.ts";
import { namesIn, settingsIn, unreadable } from "./settings-files.ts";

/**
 * Reads docker's settings for reaching registries. Each directory may have `daemon.json` with `registry-mirrors` (of
 * Docker Hub) and `insecure-registries` (names, addresses, networks), and `certs.d/<registry>/` with `*.crt`
 * (authorities) and `*.cert` beside `*.key` (client certificates). Read at once.
 * @param insecure registries that the command line calls insecure
 * @throws {BuildError} `registry/configuration` with the file
 * @see https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 */
export function dockerHosts(directories: readonly string[], insecure: ReadonlySet<string>): HostLookup {
  const hosts = new Map<string, HostSettings>();
  const networks = new BlockList();
  const add = (name: string, more: HostSettings): void => void hosts.set(name, { ...hosts.get(name), ...more });
  for (const directory of directories) {
    for (const [name, certificates] of readCertificates(join(directory, "certs.d"))) add(name, certificates);
    const { mirrors, insecureOnes } = readDaemonConfig(join(directory, "daemon.json"));
    for (const { name, settings } of mirrors) {
      add(name, settings);
      add(DOCKER_HUB, { mirrors: [...(hosts.get(DOCKER_HUB)?.mirrors ?? []), name] });
    }
    for (const { name, network } of insecureOnes) {
      if (network === undefined) add(name, { insecure: true });
      else networks.addSubnet(network.address, network.bits, network.family);
    }
  }
  for (const name of insecure) add(name, { insecure: true });
  return {
    get: (name) => {
      const settings = hosts.get(name);
      return settings?.insecure !== true && isIn(networks, name) ? { ...settings, insecure: true } : settings;
    },
  };
}

const DOCKER_HUB = "docker.io";

interface DaemonConfig {
  readonly mirrors: readonly { readonly name: string; readonly settings: HostSettings }[];
  readonly insecureOnes: readonly { readonly name: string; readonly network: Network | undefined }[];
}

interface Network {
  readonly address: string;
  readonly bits: number;
  readonly family: "ipv4" | "ipv6";
}

function readDaemonConfig(path: string): DaemonConfig {
  const text = settingsIn(path);
  if (text === undefined) return { mirrors: [], insecureOnes: [] };
  const json = parseJson(text);
  if (!isRecord(json)) throw unreadable(path, "it is not a JSON object");
  return {
    mirrors: textsIn(json, "registry-mirrors", path).map((url) => readMirror(url, path)),
    insecureOnes: textsIn(json, "insecure-registries", path).map((name) => ({ name, network: readNetwork(name) })),
  };
}

function textsIn(json: Record<string, unknown>, key: string, path: string): readonly string[] {
  const value = json[key] ?? [];
  if (Array.isArray(value) && value.every((item): item is string => typeof item === "string")) return value;
  throw unreadable(path, `"${key}" is not a list of texts`);
}

/** Parses `https://mirror.example/prefix/`; docker takes no mirror without a scheme. */
function readMirror(text: string, path: string): DaemonConfig["mirrors"][number] {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.username !== "" || url.search !== "")
    throw unreadable(path, `${JSON.stringify(text)} in "registry-mirrors" is no URL like https://mirror.example`);
  const name = url.host + url.pathname.replace(/\/+$/, "");
  return { name, settings: url.protocol === "http:" ? { plainHttp: true } : {} };
}

/** Parses `10.0.0.0/8` or `fd00::/8`; any other text is a registry's name. */
function readNetwork(text: string): Network | undefined {
  const [address = "", bits = "", ...rest] = text.split("/");
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || !/^\d{1,3}$/.test(bits)) return undefined;
  if (Number(bits) > (version === 4 ? 32 : 128)) return undefined;
  return { address, bits: Number(bits), family: version === 4 ? "ipv4" : "ipv6" };
}

/** Tells whether a registry is named by an address of one of the networks. Names are not resolved. */
function isIn(networks: BlockList, name: string): boolean {
  const host = name.replace(/(?::\d+)?(?:\/.*)?$/, "").replace(/^\[(.*)\]$/, "$1");
  const version = isIP(host);
  return version !== 0 && networks.check(host, version === 4 ? "ipv4" : "ipv6");
}

function readCertificates(directory: string): Map<string, HostSettings> {
  const found = new Map<string, HostSettings>();
  for (const name of namesIn(directory)) {
    const folder = join(directory, name);
    const files = namesIn(folder);
    const ca = files.filter((file) => file.endsWith(".crt")).map((file) => settingsIn(join(folder, file)) ?? "");
    const own = files.find((file) => file.endsWith(".cert"));
    found.set(name, {
      ...(ca.length === 0 ? {} : { ca }),
      ...(own === undefined ? {} : { client: clientOf(join(folder, own.slice(0, -".cert".length))) }),
    });
  }
  return found;
}

function clientOf(stem: string): NonNullable<HostSettings["client"]> {
  const [cert, key] = [settingsIn(`${stem}.cert`), settingsIn(`${stem}.key`)];
  if (cert === undefined) throw unreadable(`${stem}.cert`, "it is gone");
  if (key === undefined)
    throw unreadable(`${stem}.cert`, "its key is missing: there should be a .key of the same name");
  return { cert, key };
}
