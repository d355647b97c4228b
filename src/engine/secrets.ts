import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { readGiven } from "../../lib/core/given-file.ts";
import { listenAsAgent } from "../../solver/ops/exec/agent-socket.ts";
import { MAX_SECRET_BYTES, type SecretSource, type SshSource } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { SecretSpec, SshSpec } from "./options.ts";
import type { Scratch } from "./scratch.ts";
import type { SshKey } from "./ssh/ssh-keys.ts";

/** Size limit; OpenSSH reads no larger private key either. */
const MAX_KEY_BYTES = 1 << 20;

/**
 * Makes the source of secrets by id. A value is read when a step needs it and never kept, except from a pipe, which
 * gives it only once.
 */
export function secretSource(specs: readonly SecretSpec[], environment: BuildEnvironment): SecretSource {
  const byId = new Map(specs.map((spec) => [spec.id, spec]));
  const piped = new Map<string, Promise<Uint8Array>>();
  return {
    async get(id, signal) {
      const spec = byId.get(id);
      if (spec === undefined) return undefined;
      if (spec.from === "env") {
        const value = environment.env[spec.variable];
        if (value?.includes("\ufffd") === true) throw notUtf8(id, spec.variable);
        return value === undefined ? undefined : Buffer.from(value);
      }
      const path = resolve(environment.workingDirectory, spec.path);
      const kind = await kindOfSecret(id, path);
      if (kind === "file") return readSecret(id, path, signal);
      let value = piped.get(id);
      if (value === undefined) piped.set(id, (value = readSecret(id, path, signal)));
      return value;
    },
  };
}

/**
 * Makes the error for a value that is not UTF-8: Node replaces such bytes by U+FFFD, and the step would get another
 * secret.
 */
function notUtf8(id: string, variable: string): BuildError {
  const message = `Cannot read secret ${JSON.stringify(id)} from the variable ${variable}: it is not UTF-8`;
  return new BuildError("secret/unreadable", message, { hint: `put it into a file: --secret id=${id},src=<file>` });
}

/** Checks secrets at the start of a build instead of failing in the middle. */
export async function checkSecrets(specs: readonly SecretSpec[], environment: BuildEnvironment): Promise<void> {
  for (const spec of specs) {
    if (spec.from === "file") await kindOfSecret(spec.id, resolve(environment.workingDirectory, spec.path));
  }
}

async function readSecret(id: string, path: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    const refuse = (): BuildError => badSecret(id, path, "secrets are at most 500 KiB");
    return await readGiven({ path, refuse }, MAX_SECRET_BYTES, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw unreadableSecret(id, path, error);
  }
}

async function kindOfSecret(id: string, path: string): Promise<"file" | "pipe or device"> {
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw badSecret(id, path, "it is a directory");
    if (status.size > MAX_SECRET_BYTES) throw badSecret(id, path, "secrets are at most 500 KiB");
    return status.isFile() ? "file" : "pipe or device";
  } catch (error) {
    throw unreadableSecret(id, path, error);
  }
}

function unreadableSecret(id: string, path: string, error: unknown): BuildError {
  if (error instanceof BuildError) return error;
  const why = errnoOf(error) === "ENOENT" ? "there is no such file" : (errnoOf(error) ?? "it failed");
  return badSecret(id, path, why, error);
}

function badSecret(id: string, path: string, why: string, cause?: unknown): BuildError {
  const message = `Cannot read secret ${JSON.stringify(id)} from ${path}: ${why}`;
  return new BuildError("secret/unreadable", message, { cause });
}

/** The agents that a build forwards. Their specifications are read once: a key may come from a pipe. */
export interface SshAgents extends SshSource {
  /**
   * Checks agents and keys at the start of a build.
   * @throws {BuildError} `secret/unreadable`
   */
  check(signal: AbortSignal): Promise<void>;
}

/**
 * Makes the source of agent sockets by id. For private keys an agent of ours is started on the first request; `scratch`
 * owns it.
 * @throws {BuildError} `secret/unreadable` from `socket`, for files that are neither
 */
export function sshSource(specs: readonly SshSpec[], environment: BuildEnvironment, scratch: Scratch): SshAgents {
  const byId = new Map(specs.map((spec) => [spec.id, spec]));
  const known = new Map<SshSpec, Promise<Agent>>();
  const started = new Map<string, Promise<string>>();
  const agentOf = async (spec: SshSpec, signal: AbortSignal): Promise<Agent> => {
    let agent = known.get(spec);
    if (agent === undefined) known.set(spec, (agent = readAgent(spec, environment, signal)));
    return agent;
  };
  return {
    async check(signal) {
      for (const spec of specs) await agentOf(spec, signal);
    },
    async socket(id, signal) {
      const spec = byId.get(id);
      if (spec === undefined) return undefined;
      let socket = started.get(id);
      if (socket === undefined) started.set(id, (socket = openAgent(agentOf(spec, signal), scratch)));
      return socket;
    },
  };
}

/** An agent's socket path, or the keys for an agent of ours. */
type Agent = string | readonly SshKey[];

async function openAgent(known: Promise<Agent>, scratch: Scratch): Promise<string> {
  const read = await known;
  if (typeof read === "string") return read;
  const { serveKeys } = await import("./ssh/ssh-agent.ts");
  const agent = await listenAsAgent({ directory: scratch.root, permissions: 0o600, owner: undefined }, serveKeys(read));
  scratch.use(agent);
  return agent.path;
}

async function readAgent(spec: SshSpec, environment: BuildEnvironment, signal: AbortSignal): Promise<Agent> {
  const paths = spec.paths.map((path) => resolve(environment.workingDirectory, path));
  const [first] = paths;
  const unusable = (path: string, why: string, cause?: unknown): BuildError =>
    new BuildError("secret/unreadable", `Cannot use the ssh key ${path}: ${why}`, {
      cause,
      hint: "give a private key without a passphrase, or the socket of an agent that has unlocked it",
    });
  const keys: SshKey[] = [];
  for (const path of paths) {
    try {
      if (path === first && paths.length === 1 && (await stat(path)).isSocket()) return path;
      const refuse = (why: string): BuildError => unusable(path, why);
      const text = (await readGiven({ path, refuse }, MAX_KEY_BYTES, signal)).toString("utf8");
      // Only builds with a key load the library.
      const { parseSshKey } = await import("./ssh/ssh-keys.ts");
      keys.push(parseSshKey(text));
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof BuildError && error.code === "secret/unreadable") throw error;
      throw unusable(path, errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error), error);
    }
  }
  return keys;
}
