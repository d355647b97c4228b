import { spawn } from "node:child_process";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { Readable, type Writable } from "node:stream";
import type { EngineName } from "../output-spec.ts";
import { engineFailure, type ImageEngine, NO_CONNECTION, UnreachableRegistryError } from "./image-engine.ts";

/** The command lines of an engine that is reached by a program. */
interface Program {
  readonly name: Exclude<EngineName, "docker">;
  readonly command: readonly string[];
  readonly keeps: "one platform" | "all platforms";
  has(configDigest: string): readonly string[] | undefined;
  pull(reference: string): readonly string[];
  tag(from: string, to: string): readonly string[];
  untag(reference: string): readonly string[];
  readonly load: readonly string[];
  save(name: string): readonly string[];
}

const PODMAN: Program = {
  name: "podman",
  command: ["podman"],
  keeps: "one platform",
  has: (digest) => ["image", "exists", digest],
  pull: (reference) => ["pull", "-q", "--tls-verify=false", reference],
  tag: (from, to) => ["tag", from, to],
  untag: (reference) => ["untag", reference, reference],
  load: ["load", "-q"],
  save: (name) => ["save", "-q", name],
};

function containerd(namespace: string): Program {
  return {
    name: "containerd",
    command: ["ctr", "--connect-timeout", "3s", "--namespace", namespace],
    keeps: "all platforms",
    has: () => undefined,
    pull: (reference) => ["images", "pull", "--plain-http", "--all-platforms", reference],
    tag: (from, to) => ["images", "tag", "--force", from, to],
    untag: (reference) => ["images", "rm", reference],
    // An image without a name is listed, and kept, under its digest.
    load: ["images", "import", "--all-platforms", "--digests", "--skip-digest-for-named", "-"],
    save: (name) => ["images", "export", "-", name],
  };
}

/** Pattern of `ctr`'s message when containerd does not answer. */
const NO_ENGINE = /cannot access socket|failed to dial "/;

/** Longest end of a program's complaints that is shown. */
const MAX_WORDS = 500;

/** Makes an engine that is reached by its program: `podman`, or `ctr` for containerd. */
export function commandEngine(engine: Program["name"], env: Readonly<Record<string, string | undefined>>): ImageEngine {
  const program = engine === "podman" ? PODMAN : containerd(env["CONTAINERD_NAMESPACE"] || "default");
  const run = async (
    args: readonly string[],
    signal: AbortSignal,
    input?: (stdin: Writable) => Promise<void>,
  ): Promise<Ended> => runProgram(program, args, env, { input }, signal);
  const failed = (words: string, status: number): BuildError => {
    const isAway = NO_ENGINE.test(words) ? "is it running? CONTAINERD_ADDRESS says where it is" : undefined;
    return engineFailure(engine, "load into", words === "" ? `it ended with status ${status}` : words, isAway);
  };
  const must = async (args: readonly string[], signal: AbortSignal): Promise<void> => {
    const { status, words } = await run(args, signal);
    if (status === 0) return;
    if (NO_CONNECTION.test(words) && !NO_ENGINE.test(words)) throw new UnreachableRegistryError(engine, words);
    throw failed(words, status);
  };
  return {
    async has(configDigest, signal) {
      const args = program.has(configDigest);
      return args !== undefined && (await run(args, signal)).status === 0;
    },
    keeps: async () => program.keeps,
    pull: (reference, _platforms, signal) => must(program.pull(reference), signal),
    tag: (from, to, signal) => must(program.tag(from, to), signal),
    untag: (reference, signal) => must(program.untag(reference), signal),
    async save(name, signal) {
      const [command = "", ...first] = program.command;
      const child = spawn(command, [...first, ...program.save(name)], {
        env: { ...env },
        signal,
        stdio: ["ignore", "pipe", "pipe"],
      });
      const words = endOf(child.stderr);
      const ended = new Promise<number>((resolve, reject) => {
        child.once("error", reject);
        child.once("close", (status) => resolve(status ?? 1));
      });
      // An archive that ends early is told in the program's own words.
      return Readable.from(
        checked(child.stdout, async () => {
          const status = await ended.catch((error: unknown) => {
            throw errnoOf(error) === "ENOENT"
              ? engineFailure(engine, "read from", `the program "${command}" is not installed`)
              : error;
          });
          if (status !== 0)
            throw new BuildError("image/not-found", `Cannot get ${JSON.stringify(name)} from ${engine}: ${words()}`);
        }),
        { objectMode: false },
      );
    },
    async load(write, signal) {
      const { status, words } = await run(program.load, signal, (stdin) => write(async () => stdin));
      if (status !== 0) throw failed(words, status);
    },
  };
}

interface Ended {
  readonly status: number;
  /** The end of what it said on standard error, as one line. */
  readonly words: string;
}

async function runProgram(
  { name, command }: Program,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  { input }: { readonly input: ((stdin: Writable) => Promise<void>) | undefined },
  signal: AbortSignal,
): Promise<Ended> {
  const [program = "", ...first] = command;
  const child = spawn(program, [...first, ...args], { env: { ...env }, signal, stdio: ["pipe", "ignore", "pipe"] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
  const words = endOf(child.stderr);
  child.stdin.on("error", () => undefined);
  try {
    if (input === undefined) child.stdin.end();
    // A program that ends early breaks the pipe: its own words say why.
    else
      await input(child.stdin).catch((error: unknown) => (child.exitCode === null ? Promise.reject(error) : undefined));
    return { status: await ended, words: words() };
  } catch (error) {
    signal.throwIfAborted();
    child.kill();
    if (errnoOf(error) === "ENOENT")
      throw engineFailure(name, "load into", `the program "${program}" is not installed`);
    if (errnoOf(error) === "EPIPE") return { status: await ended, words: words() };
    throw engineFailure(name, "load into", messageOf(error));
  }
}

/** Keeps the end of a stream, as one line. */
function endOf(stream: Readable): () => string {
  let words = "";
  stream.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MAX_WORDS);
  });
  return () => printableLine(words.trim());
}

/** Passes a stream on, and checks at its end how its program ended. */
async function* checked(stream: Readable, check: () => Promise<void>): AsyncGenerator<Buffer> {
  yield* stream as AsyncIterable<Buffer>;
  await check();
}
