import {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import { systemFailure } from "../../../lib/core/system-failure.ts";
import type { Host } from "../host.ts";
import { printError } from "../print-error.ts";
import { KANIKO_FLAGS } from "./flags.ts";
import { type DigestFile, type ExecutorPlan, type RegistrySettings, translate } from "./translate.ts";
import { readKanikoWords } from "./words.ts";

/** The status for an invalid command line, as kiln's own. */
const USAGE = 125;
/** Folder of docker's config.json in kaniko's image. */
const DOCKER_CONFIG = "/kaniko/.docker";

/**
 * Runs a command line of kaniko's executor.
 * @param runKiln runs kiln's own words
 * @returns the exit status
 */
export async function runExecutor(
  given: readonly string[],
  host: Host,
  runKiln: (words: readonly string[], host: Host) => Promise<number>,
): Promise<number> {
  const [first] = given;
  if (first === "version" || first === "--version") return runKiln(["version"], host);
  if (first === "help" || given.includes("--help") || given.includes("-h")) {
    host.stdout.write(helpText());
    return 0;
  }
  let directory: string | undefined;
  try {
    const { env, workingDirectory } = host;
    const plan = translate(readKanikoWords(given), { env, workingDirectory, exists: existsSync });
    for (const note of plan.notes) host.stderr.write(`NOTE: ${note}\n`);
    directory = mkdtempSync(join(host.temporaryDirectory, "kiln-executor-"));
    const metadata = join(directory, "metadata.json");
    // The context is the last word, and flags may stand before it.
    const words = [...plan.words.slice(0, -1), `--metadata-file=${metadata}`, ...plan.words.slice(-1)];
    const status = await runKiln(words, executorHost(plan, host, directory));
    if (status === 0) writeDigestFiles(plan, metadata, workingDirectory);
    return status;
  } catch (error) {
    printError(systemFailure("run kaniko's command line", error), host);
    return error instanceof BuildError && error.code === "cli/usage" ? USAGE : 1;
  } finally {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  }
}

/** Makes the host of the build: the plan's variables, settings and archive in place of the process's. */
function executorHost(plan: ExecutorPlan, host: Host, directory: string): Host {
  const { settings, archive } = plan;
  const hasSettings = Object.values(settings).some((list) => list.length > 0);
  const { env } = host;
  const config = hasSettings
    ? writeSettings(settings, env["XDG_CONFIG_HOME"] || join(host.homeDirectory, ".config"), directory)
    : undefined;
  const hasAccounts = (env["DOCKER_CONFIG"] ?? "") === "" && existsSync(join(DOCKER_CONFIG, "config.json"));
  const changed = {
    ...env,
    ...plan.env,
    ...(config === undefined ? {} : { XDG_CONFIG_HOME: config }),
    ...(hasAccounts ? { DOCKER_CONFIG } : {}),
  };
  const stdin = archive === undefined ? undefined : createReadStream(resolve(host.workingDirectory, archive));
  return new Proxy(host, {
    // Other properties stay the process's, read when they are asked for: opening standard input has effects of its own.
    get: (target, name) => {
      if (name === "env") return changed;
      if (name === "stdin" && stdin !== undefined) return stdin;
      const value: unknown = Reflect.get(target, name);
      return value;
    },
  });
}

/**
 * Writes settings as docker's files; podman's, of the user, stay in sight.
 * @returns the folder to name in XDG_CONFIG_HOME
 */
function writeSettings(settings: RegistrySettings, usual: string, directory: string): string {
  const config = join(directory, "config");
  const docker = join(config, "docker");
  mkdirSync(docker, { recursive: true });
  if (existsSync(join(usual, "containers"))) symlinkSync(join(usual, "containers"), join(config, "containers"));
  writeFileSync(
    join(docker, "daemon.json"),
    JSON.stringify({ "registry-mirrors": settings.mirrors, "insecure-registries": settings.insecure }),
  );
  const folderOf = (registry: string): string => {
    const folder = join(docker, "certs.d", registry);
    mkdirSync(folder, { recursive: true });
    return folder;
  };
  for (const [registry, path] of settings.authorities)
    writeFileSync(join(folderOf(registry), "ca.crt"), readCertificate(path));
  for (const [registry, certificate, key] of settings.clients) {
    writeFileSync(join(folderOf(registry), "client.cert"), readCertificate(certificate));
    writeFileSync(join(folderOf(registry), "client.key"), readCertificate(key), { mode: 0o600 });
  }
  return config;
}

function readCertificate(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new BuildError("registry/configuration", `Cannot read the certificate "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function writeDigestFiles(
  { digestFiles, destinations }: ExecutorPlan,
  metadata: string,
  workingDirectory: string,
): void {
  if (digestFiles.length === 0) return;
  const found = parseJson(readFileSync(metadata, "utf8"));
  const digest = isRecord(found) ? found["containerimage.digest"] : undefined;
  if (typeof digest !== "string") throw new Error("A build has no digest in its metadata");
  for (const file of digestFiles) {
    const path = resolve(workingDirectory, file.path);
    try {
      writeFileSync(path, digestText(file.holds, digest, destinations));
    } catch (error) {
      throw new BuildError("export/failed", `Cannot write the digest to "${path}": ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

function digestText(holds: DigestFile["holds"], digest: string, destinations: readonly string[]): string {
  if (holds === "digest") return digest;
  const names = destinations.map((destination) => {
    const { registry, repository, tag = "latest" } = parseReference(destination);
    // kaniko writes Docker Hub by its address.
    const name = `${registry === "docker.io" ? "index.docker.io" : registry}/${repository}`;
    return `${holds === "names" ? name : `${name}:${tag}`}@${digest}\n`;
  });
  return names.join("");
}

function helpText(): string {
  const lines = Object.entries(KANIKO_FLAGS).map(([name, { short, takes, idle, refused }]) => {
    const flag = `${short === undefined ? "   " : `-${short},`} --${name}${takes === "switch" ? "" : " VALUE"}`;
    const told = refused === undefined ? (idle === undefined ? "" : `no effect: ${idle}`) : `refused: ${refused}`;
    return `  ${flag.padEnd(46)} ${told}`.trimEnd();
  });
  return [
    "Usage: kiln executor [flags]",
    "",
    "Builds and pushes an image by the flags of kaniko's executor.",
    "",
    "Flags:",
    ...lines,
    "",
  ].join("\n");
}
