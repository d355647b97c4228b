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

/**
 * Runs `docker-credential-<name> get`; `undefined` when it has no such entry.
 * @throws {HelperError} with the helper's own message
 * @see https://github.com/docker/docker-credential-helpers#development
 */
export async function askHelper(
  name: string,
  server: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (why: string, more: { readonly cause?: unknown; readonly isInstalled?: boolean } = {}): HelperError =>
    new HelperError(`Cannot get the credentials for "${server}": ${why}`, {
      hint: `check that "${program}" works, or remove it from docker's config.json`,
      isInstalled: true,
      ...more,
    });
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw fail(`${JSON.stringify(name)} is not the name of a credential helper`);
  const child = spawn(program, ["get"], { env: { ...env }, signal, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  });
  // A helper that does not read its input must not look like a broken pipe of ours.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${server}\n`);
  let output: string;
  let complaints: string;
  let status: number | undefined;
  try {
    [output, complaints, status] = await Promise.all([upToLimit(child.stdout), upToLimit(child.stderr), ended]);
  } catch (error) {
    signal.throwIfAborted();
    throw errnoOf(error) === "ENOENT"
      ? fail(`"${program}" is not installed`, { isInstalled: false })
      : fail(messageOf(error), { cause: error });
  }
  // By the helpers' protocol this text on stdout means "no such entry"; all else is a failure.
  if (status !== 0 && output.includes("credentials not found")) return undefined;
  if (status !== 0) {
    const words = wordsOf(output, complaints);
    throw fail(`"${program}" ended with status ${status ?? "unknown"}${words === "" ? "" : `: ${words}`}`);
  }
  const json = parseJson(output);
  const username: unknown = isRecord(json) ? json["Username"] : undefined;
  const secret: unknown = isRecord(json) ? json["Secret"] : undefined;
  if (typeof username !== "string" || typeof secret !== "string") throw fail(`"${program}" answered in another format`);
  if (username === "<token>") return { kind: "identity-token", token: secret };
  return username === "" ? undefined : { kind: "basic", username, password: secret };
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
