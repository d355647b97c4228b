import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { printableLine } from "../core/printable.ts";
import type { Credentials } from "./registry.ts";

const MAX_ANSWER_BYTES = 1 << 20;

/** Limit on the part of a helper's message that is shown. */
const MAX_WORDS = 300;

/** An error of a helper that could not run or failed. */
export class HelperError extends BuildError {
  readonly isInstalled: boolean;

  constructor(
    message: string,
    details: { readonly hint: string; readonly cause?: unknown; readonly isInstalled: boolean },
  ) {
    super("registry/unauthorized", message, details);
    this.isInstalled = details.isInstalled;
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/** One question to a helper: `get`, `store` or `erase`, by the helpers' protocol. */
interface Question {
  readonly verb: "get" | "store" | "erase";
  readonly server: string;
  readonly input: string;
}

/** Longest time a helper may take: some ask a person for a password. */
const MAX_WAIT_MS = 120_000;

/**
 * Runs `docker-credential-<name> get`. `undefined` when the helper has no entry for the server.
 * @throws {HelperError} with the helper's own words
 * @see https://github.com/docker/docker-credential-helpers#development
 */
export async function askHelper(
  name: string,
  server: string,
  env: Env,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const question = { verb: "get", server, input: `${server}\n` } as const;
  const output = await runHelper(name, question, env, signal);
  if (output === undefined) return undefined;
  const json = parseJson(output);
  const username: unknown = isRecord(json) ? json["Username"] : undefined;
  const secret: unknown = isRecord(json) ? json["Secret"] : undefined;
  if (typeof username !== "string" || typeof secret !== "string") {
    throw helperFailure(name, question, `"docker-credential-${name}" answered in another format`);
  }
  if (username === "<token>") return { kind: "identity-token", token: secret };
  return username === "" ? undefined : { kind: "basic", username, password: secret };
}

/** Hands an account to `docker-credential-<name> store`. @throws {HelperError} */
export async function storeInHelper(
  name: string,
  server: string,
  account: { readonly username: string; readonly password: string },
  env: Env,
  signal: AbortSignal,
): Promise<void> {
  const input = JSON.stringify({ ServerURL: server, Username: account.username, Secret: account.password });
  await runHelper(name, { verb: "store", server, input }, env, signal);
}

/** Has `docker-credential-<name> erase` forget a server. @throws {HelperError} */
export async function eraseInHelper(name: string, server: string, env: Env, signal: AbortSignal): Promise<void> {
  await runHelper(name, { verb: "erase", server, input: `${server}\n` }, env, signal);
}

/** Runs a helper to its end. @returns what it printed; `undefined` when it says that it has no such entry. */
async function runHelper(name: string, question: Question, env: Env, signal: AbortSignal): Promise<string | undefined> {
  const program = `docker-credential-${name}`;
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    throw helperFailure(name, question, `${JSON.stringify(name)} is not the name of a credential helper`);
  }
  const limit = AbortSignal.timeout(MAX_WAIT_MS);
  const stop = AbortSignal.any([signal, limit]);
  const child = spawn(program, [question.verb], { env: { ...env }, signal: stop, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  });
  // A helper that does not read its input must not look like a broken pipe of ours.
  child.stdin.on("error", () => undefined);
  child.stdin.end(question.input);
  try {
    const [output, complaints, status] = await Promise.all([upToLimit(child.stdout), upToLimit(child.stderr), ended]);
    if (status === 0) return output;
    // By the helpers' protocol this text, on stdout, is how "no such entry" is told from other failures.
    if (output.includes("credentials not found")) return undefined;
    const words = wordsOf(output, complaints);
    const ending = `"${program}" ended with status ${status ?? "unknown"}`;
    throw helperFailure(name, question, words === "" ? ending : `${ending}: ${words}`);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HelperError) throw error;
    if (limit.aborted) {
      throw helperFailure(name, question, `"${program}" gave no answer in ${MAX_WAIT_MS / 1000} seconds`);
    }
    throw errnoOf(error) === "ENOENT"
      ? helperFailure(name, question, `"${program}" is not installed`, { isInstalled: false })
      : helperFailure(name, question, messageOf(error), { cause: error });
  }
}

function helperFailure(
  name: string,
  { verb, server }: Question,
  why: string,
  more: { readonly cause?: unknown; readonly isInstalled?: boolean } = {},
): HelperError {
  return new HelperError(`Cannot ${verb} the credentials for "${server}": ${why}`, {
    hint: `check that "docker-credential-${name}" works, or remove it from docker's config.json`,
    isInstalled: true,
    ...more,
  });
}

/**
 * Reads a helper's output.
 * @throws {Error} for more than any answer has; closing the pipe then ends the helper
 */
async function upToLimit(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`it printed more than ${MAX_ANSWER_BYTES >> 20} MiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Reads a helper's failure message as one line. An output that may hold a secret is not shown. */
function wordsOf(output: string, complaints: string): string {
  const said = [output, complaints].filter((one) => !/"Secret"/i.test(one)).map((one) => one.trim());
  const line = said.filter((one) => one !== "").join("; ");
  return printableLine(line.replaceAll(/\p{Cc}+/gu, " "))
    .trim()
    .slice(0, MAX_WORDS);
}
