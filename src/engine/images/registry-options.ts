import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { BuildError } from "../../../lib/core/errors.ts";
import { readSettings } from "../../../lib/core/given-file.ts";
import { accountsInFiles } from "../../../lib/registry/docker-config.ts";
import { type HostFiles, readHostFiles } from "../../../lib/registry/host-files.ts";
import type { ConnectionOptions } from "../../../lib/registry/connection-options.ts";
import type {
  Credentials,
  CredentialSource,
  Notice,
  RegistryOptions,
  Repository,
} from "../../../lib/registry/registry.ts";
import type { TransportOptions } from "../../../lib/registry/transport.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Facts } from "../../../lib/store/store.ts";
import { mirrorMemory } from "./mirror-memory.ts";
import type { BuildEnvironment } from "../environment.ts";

/** Accounts of the command line. */
export interface GivenAccounts {
  /** The only file to read, instead of docker's and podman's. */
  readonly file?: string | undefined;
  /** An account for one registry; it takes precedence over every file. */
  readonly own?: { readonly registry: string; readonly credentials: Credentials } | undefined;
}

/** Collects the settings for registries: docker's, and those for all servers. */
export async function registryOptions(
  environment: BuildEnvironment,
  { insecure, accounts }: { readonly insecure: ReadonlySet<string>; readonly accounts: GivenAccounts },
  { progress, facts }: { readonly progress: ProgressSink; readonly facts: Facts },
): Promise<RegistryOptions> {
  const { env } = environment;
  const notice: Notice = (message, hint) => progress({ kind: "notice", level: "warning", message, hint });
  const files = accounts.file === undefined ? accountFiles(environment) : [accounts.file];
  return {
    ...transportOptions(env),
    credentials: withOwn(accounts.own, accountsInFiles({ files, env, notice })),
    notice,
    hosts: await readHostFiles(hostFiles(environment, insecure)),
    mirrorMemory: mirrorMemory(facts, environment),
    clock: environment,
  };
}

/** Returns the settings for requests to any server. */
export function transportOptions(env: BuildEnvironment["env"]): TransportOptions {
  const timer = { wait: async (ms: number, signal: AbortSignal) => wait(ms, undefined, { signal }) };
  return { ...connectionOptions(env), userAgent: "kiln", timer };
}

/** Finds the account for a repository, and its origin. */
export async function credentialsFor(
  environment: BuildEnvironment,
  accounts: GivenAccounts,
  place: Repository,
  signal: AbortSignal,
): Promise<{ readonly credentials: Credentials; readonly source: string } | undefined> {
  if (accounts.own?.registry === place.registry) return { credentials: accounts.own.credentials, source: "--creds" };
  const files = accounts.file === undefined ? accountFiles(environment) : [accounts.file];
  for (const [index, file] of files.entries()) {
    const { DOCKER_AUTH_CONFIG: inVariable, ...env } = environment.env;
    const credentials = await accountsInFiles({ files: [file], env }).get(place, signal);
    const given = index === 0 && inVariable !== undefined ? { ...env, DOCKER_AUTH_CONFIG: inVariable } : env;
    const first = await accountsInFiles({ files: [file], env: given }).get(place, signal);
    if (first === undefined) continue;
    const isFile = credentials !== undefined && JSON.stringify(credentials) === JSON.stringify(first);
    return { credentials: first, source: isFile ? file : "the variable DOCKER_AUTH_CONFIG" };
  }
  return undefined;
}

/** Restricts an account of the command line to its registry: other registries of the same command never see it. */
function withOwn(own: GivenAccounts["own"], others: CredentialSource): CredentialSource {
  if (own === undefined) return others;
  return {
    get: async (repository, signal) =>
      repository.registry === own.registry ? own.credentials : others.get(repository, signal),
  };
}

/**
 * Lists the files of accounts, in order: that of REGISTRY_AUTH_FILE, docker's, and those of podman, buildah and skopeo.
 * @see https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
 */
function accountFiles(environment: Pick<BuildEnvironment, "env" | "homeDirectory">): readonly string[] {
  const { env, homeDirectory } = environment;
  const named = env["REGISTRY_AUTH_FILE"];
  const runtime = env["XDG_RUNTIME_DIR"];
  return [
    ...(named === undefined || named === "" ? [] : [named]),
    join(dockerConfigDirectory(environment), "config.json"),
    ...(runtime === undefined || runtime === "" ? [] : [join(runtime, "containers", "auth.json")]),
    join(env["XDG_CONFIG_HOME"] || join(homeDirectory, ".config"), "containers", "auth.json"),
  ];
}

/** Returns the directory of docker's `config.json`. */
export function dockerConfigDirectory({ env, homeDirectory }: Pick<BuildEnvironment, "env" | "homeDirectory">): string {
  return env["DOCKER_CONFIG"] || join(homeDirectory, ".docker");
}

/** Lists the files with registries' settings: those of docker, podman and containerd, of the system and of the user. */
export function hostFiles(
  { env, homeDirectory }: Pick<BuildEnvironment, "env" | "homeDirectory">,
  insecure: ReadonlySet<string>,
): HostFiles {
  const config = env["XDG_CONFIG_HOME"] || join(homeDirectory, ".config");
  const own = join(config, "containers");
  const named = env["CONTAINERS_REGISTRIES_CONF"];
  const candidates = [
    join(own, "registries.conf"),
    "/etc/containers/registries.conf",
    "/usr/share/containers/registries.conf",
  ];
  const isNamed = named !== undefined && named !== "";
  return {
    docker: ["/etc/docker", join(config, "docker")],
    containers: ["/etc/containers", own],
    registriesConf: isNamed ? [named] : candidates,
    aliasesBelow: isNamed ? [named, own] : [own],
    containerd: "/etc/containerd/certs.d",
    insecure,
  };
}

/** Returns the settings for any server: the usual proxy variables, the certificates of the system. */
export function connectionOptions(env: BuildEnvironment["env"]): ConnectionOptions {
  const http = env["HTTP_PROXY"] || env["http_proxy"];
  const https = env["HTTPS_PROXY"] || env["https_proxy"];
  const noProxy = env["NO_PROXY"] || env["no_proxy"];
  const ca = [...systemCertificates(env), ...certificatesInFolders(env["SSL_CERT_DIR"])];
  return {
    ...(ca.length === 0 ? {} : { ca }),
    proxy: {
      ...(http === undefined ? {} : { http }),
      ...(https === undefined ? {} : { https }),
      ...(noProxy === undefined ? {} : { noProxy }),
    },
  };
}

/** Finds the certificate bundle of the system's other programs; Node has a list of its own besides. */
function systemCertificates(env: BuildEnvironment["env"]): readonly string[] {
  const candidates = [env["SSL_CERT_FILE"], "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
  const path = candidates.find((candidate) => candidate !== undefined && existsSync(candidate));
  return path === undefined ? [] : [readCertificates(path)];
}

/**
 * Reads the certificates in the folders of SSL_CERT_DIR, which Go's programs and OpenSSL's look into: a cluster's own authority is often
 * mounted or written there. Files of other names are OpenSSL's links to the same certificates. A folder that is absent holds none.
 */
function certificatesInFolders(folders = ""): readonly string[] {
  return folders.split(":").flatMap((folder) => {
    if (folder === "" || !existsSync(folder)) return [];
    const names = readdirSync(folder).filter((name) => /\.(?:crt|pem|cer)$/.test(name));
    const paths = names.toSorted().map((name) => join(folder, name));
    return paths.filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true).map(readCertificates);
  });
}

function readCertificates(path: string): string {
  return readSettings({ path, refuse: unusable(path) }).toString("utf8");
}

function unusable(path: string): (why: string) => BuildError {
  return (why) => new BuildError("registry/configuration", `Cannot read the certificates in "${path}": ${why}`);
}
