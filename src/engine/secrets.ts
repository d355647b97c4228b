import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { listenAsAgent } from "../../solver/ops/exec/agent-socket.ts";
import type { SecretSource, SshSource } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { SecretSpec, SshSpec } from "./options.ts";
import type { Scratch } from "./scratch.ts";
import { serveKeys } from "./ssh/ssh-agent.ts";
import { type SshKey, parseSshKey } from "./ssh/ssh-keys.ts";

/** BuildKit's limit. */
const MAX_SECRET_BYTES = 500 * 1024;

/** Secrets by id. A value is read when a step asks for it and never kept. */
export function secretSource(specs: readonly SecretSpec[], environment: BuildEnvironment): SecretSource {
  const byId = new Map(specs.map((spec) => [spec.id, spec]));
  return {
    async get(id) {
      const spec = byId.get(id);
      if (spec === undefined) return undefined;
      if (spec.from === "env") {
        const value = environment.env[spec.variable];
        if (value?.includes("\ufffd") === true) throw notUtf8(id, spec.variable);
        return value === undefined ? undefined : Buffer.from(value);
      }
      return readSecret(id, resolve(environment.workingDirectory, spec.path));
    },
  };
}

/** Node puts U+FFFD in place of bytes that are not UTF-8: the step would get another secret. */
function notUtf8(id: string, variable: string): BuildError {
  const message = `Cannot read secret ${JSON.stringify(id)} from the variable ${variable}: it is not UTF-8`;
  return new BuildError("secret/unreadable", message, { hint: `put it into a file: --secret id=${id},src=<file>` });
}

/** Says at the start of a build what would fail in the middle of it. */
export async function checkSecrets(specs: readonly SecretSpec[], environment: BuildEnvironment): Promise<void> {
  for (const spec of specs) {
    if (spec.from === "file") await sizeOfSecret(spec.id, resolve(environment.workingDirectory, spec.path));
  }
}

async function readSecret(id: string, path: string): Promise<Uint8Array> {
  await sizeOfSecret(id, path);
  return readFile(path);
}

async function sizeOfSecret(id: string, path: string): Promise<void> {
  const bad = (why: string, cause?: unknown): BuildError =>
    new BuildError("secret/unreadable", `Cannot read secret ${JSON.stringify(id)} from ${path}: ${why}`, { cause });
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw bad("it is a directory");
    if (status.size > MAX_SECRET_BYTES) throw bad("secrets are at most 500 KiB");
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw bad(errnoOf(error) === "ENOENT" ? "there is no such file" : (errnoOf(error) ?? "it failed"), error);
  }
}

/**
 * Agent sockets by id. For private keys an agent of ours is started when a step first asks for it; `scratch` owns it.
 * @throws {BuildError} `secret/unreadable` from `socket`, for files that are neither.
 */
export function sshSource(specs: readonly SshSpec[], environment: BuildEnvironment, scratch: Scratch): SshSource {
  const byId = new Map(specs.map((spec) => [spec.id, spec]));
  const started = new Map<string, Promise<string>>();
  return {
    async socket(id) {
      const spec = byId.get(id);
      if (spec === undefined) return undefined;
      let socket = started.get(id);
      if (socket === undefined) started.set(id, (socket = openAgent(spec, environment, scratch)));
      return socket;
    },
  };
}

/** Says at the start of a build which agents and keys it cannot use. @throws {BuildError} `secret/unreadable` */
export async function checkAgents(specs: readonly SshSpec[], environment: BuildEnvironment): Promise<void> {
  for (const spec of specs) await readAgent(spec, environment);
}

async function openAgent(spec: SshSpec, environment: BuildEnvironment, scratch: Scratch): Promise<string> {
  const read = await readAgent(spec, environment);
  if (typeof read === "string") return read;
  const agent = await listenAsAgent({ directory: scratch.root, permissions: 0o600, owner: undefined }, serveKeys(read));
  scratch.use(agent);
  return agent.path;
}

/** The path of an agent's socket, or the keys that an agent of ours is to offer. */
async function readAgent(spec: SshSpec, environment: BuildEnvironment): Promise<string | readonly SshKey[]> {
  const paths = spec.paths.map((path) => resolve(environment.workingDirectory, path));
  const [first] = paths;
  const unusable = (path: string, why: string, cause: unknown): BuildError =>
    new BuildError("secret/unreadable", `Cannot use the ssh key ${path}: ${why}`, {
      cause,
      hint: "give a private key without a passphrase, or the socket of an agent that has unlocked it",
    });
  const keys: SshKey[] = [];
  for (const path of paths) {
    try {
      if (path === first && paths.length === 1 && (await stat(path)).isSocket()) return path;
      keys.push(parseSshKey(await readFile(path, "utf8")));
    } catch (error) {
      throw unusable(path, errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error), error);
    }
  }
  return keys;
}
