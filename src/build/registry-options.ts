import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { dockerCredentials } from "../registry/docker-config.ts";
import type { ConnectionOptions } from "../registry/connections.ts";
import type { HostSettings, RegistryOptions } from "../registry/registry.ts";
import type { BuildEnvironment } from "./environment.ts";

/** How registries are reached: docker's credentials, and as all servers are. */
export function registryOptions(environment: BuildEnvironment, insecure: ReadonlySet<string>): RegistryOptions {
  const { env } = environment;
  const hosts = new Map<string, HostSettings>();
  for (const registry of insecure) hosts.set(registry, { insecure: true });
  for (const [registry, ca] of registryCertificates("/etc/docker/certs.d")) {
    hosts.set(registry, { ...hosts.get(registry), ca });
  }
  return {
    ...connectionOptions(env),
    credentials: dockerCredentials({ directory: dockerConfigDirectory(environment), env }),
    userAgent: "kiln",
    hosts,
    clock: environment,
    timer: { wait: async (ms, signal) => wait(ms, undefined, { signal }) },
  };
}

/** Where docker keeps its `config.json`. */
export function dockerConfigDirectory({ env, homeDirectory }: Pick<BuildEnvironment, "env" | "homeDirectory">): string {
  return env["DOCKER_CONFIG"] || join(homeDirectory, ".docker");
}

/** How any server is reached: the usual proxy variables, the certificates of the system. */
export function connectionOptions(env: BuildEnvironment["env"]): ConnectionOptions {
  const http = env["HTTP_PROXY"] || env["http_proxy"];
  const https = env["HTTPS_PROXY"] || env["https_proxy"];
  const noProxy = env["NO_PROXY"] || env["no_proxy"];
  const ca = systemCertificates(env);
  return {
    ...(ca === undefined ? {} : { ca: [ca] }),
    proxy: {
      ...(http === undefined ? {} : { http }),
      ...(https === undefined ? {} : { https }),
      ...(noProxy === undefined ? {} : { noProxy }),
    },
  };
}

/** The bundle that the system's other programs trust; Node has a list of its own besides. */
function systemCertificates(env: BuildEnvironment["env"]): string | undefined {
  const candidates = [env["SSL_CERT_FILE"], "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
  const path = candidates.find((candidate) => candidate !== undefined && existsSync(candidate));
  return path === undefined ? undefined : readFileSync(path, "utf8");
}

/** `<directory>/<registry>/*.crt`, where docker looks for the certificates of private registries. */
function registryCertificates(directory: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  if (!existsSync(directory)) return found;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const folder = join(directory, entry.name);
    const files = readdirSync(folder).filter((name) => name.endsWith(".crt"));
    if (files.length > 0)
      found.set(
        entry.name,
        files.map((name) => readFileSync(join(folder, name), "utf8")),
      );
  }
  return found;
}
