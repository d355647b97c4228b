import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { BuildError } from "../../../lib/core/errors.ts";
import { readSettings } from "../../../lib/core/given-file.ts";
import { dockerCredentials } from "../../../lib/registry/docker-config.ts";
import { dockerHosts } from "../../../lib/registry/docker-hosts.ts";
import type { ConnectionOptions } from "../../../lib/registry/connections.ts";
import type { Notice, RegistryOptions } from "../../../lib/registry/registry.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import type { Facts } from "../../../lib/store/store.ts";
import { mirrorMemory } from "./mirror-memory.ts";
import type { BuildEnvironment } from "../environment.ts";

/** How registries are reached: as docker reaches them, and as all servers are. */
export function registryOptions(
  environment: BuildEnvironment,
  insecure: ReadonlySet<string>,
  on: { readonly progress: ProgressSink; readonly facts: Facts },
): RegistryOptions {
  const { env } = environment;
  const notice: Notice = (message, hint) => on.progress({ kind: "notice", level: "warning", message, hint });
  return {
    ...connectionOptions(env),
    credentials: dockerCredentials({ directory: dockerConfigDirectory(environment), env, notice }),
    notice,
    userAgent: "kiln",
    hosts: dockerHosts(["/etc/docker", engineConfigDirectory(environment)], insecure),
    mirrorMemory: mirrorMemory(on.facts, environment),
    clock: environment,
    timer: { wait: async (ms, signal) => wait(ms, undefined, { signal }) },
  };
}

/** Where docker keeps its `config.json`. */
export function dockerConfigDirectory({ env, homeDirectory }: Pick<BuildEnvironment, "env" | "homeDirectory">): string {
  return env["DOCKER_CONFIG"] || join(homeDirectory, ".docker");
}

/** Where an engine that runs without root keeps its `daemon.json`. */
function engineConfigDirectory({ env, homeDirectory }: BuildEnvironment): string {
  return join(env["XDG_CONFIG_HOME"] || join(homeDirectory, ".config"), "docker");
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
  return path === undefined ? undefined : readSettings({ path, refuse: unusable(path) }).toString("utf8");
}

function unusable(path: string): (why: string) => BuildError {
  return (why) => new BuildError("registry/configuration", `Cannot read the certificates in "${path}": ${why}`);
}
