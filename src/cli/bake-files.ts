import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { buffer } from "node:stream/consumers";
import { BuildError, errnoOf, messageOf } from "../../lib/core/errors.ts";
import { SourceText } from "../../lib/core/span.ts";
import type { ComposeHost } from "../bake/compose/project.ts";
import { parseDotenvs } from "../bake/compose/interpolate.ts";
import type { CommandContext } from "./context.ts";

/** Names of the files that bake looks for; all that are there count, in this order. */
export const DEFAULT_NAMES: readonly string[] = [
  ...["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"],
  ...["docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"],
];
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the files of a project: those of `-f`, of BUILDX_BAKE_FILE, or those with a usual name.
 * @throws {BuildError} `bake/not-found`, `bake/syntax`
 */
export async function bakeSources(context: CommandContext, given: readonly string[]): Promise<SourceText[]> {
  const { env } = context.host;
  const byVariable = (env["BUILDX_BAKE_FILE"] ?? "")
    .split(env["BUILDX_BAKE_PATH_SEPARATOR"] || ":")
    .filter((name) => name !== "");
  const names = given.length > 0 ? given : byVariable;
  if (names.length > 0) return Promise.all(names.map((name) => readNamed(context, name)));
  const found = DEFAULT_NAMES.flatMap((name) => readSource(context, name) ?? []);
  if (found.length > 0) return found;
  throw new BuildError("bake/not-found", "couldn't find a bake definition", {
    hint: `it is one of ${DEFAULT_NAMES.join(", ")} in this directory, or a file named with -f`,
  });
}

async function readNamed(context: CommandContext, name: string): Promise<SourceText> {
  if (name === "-") return decode("<stdin>", await readAll(context));
  if (/^(?:https?|git|ssh):\/\/|^git@/.test(name)) {
    throw new BuildError("context/unsupported", `Cannot read ${JSON.stringify(name)}: -f names a file`, {
      hint: `a definition from elsewhere is the first word: kiln bake ${name}`,
    });
  }
  const source = readSource(context, name.replace(/^cwd:\/\//, ""));
  if (source !== undefined) return source;
  throw new BuildError("bake/not-found", `Cannot read ${JSON.stringify(name)}: there is no such file`);
}

/** Reads a file; `undefined` when there is none. */
function readSource(context: CommandContext, name: string): SourceText | undefined {
  const path = resolve(context.host.workingDirectory, name);
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) return undefined;
    if (status.size > MAX_BYTES)
      throw new BuildError("bake/syntax", `Cannot read ${JSON.stringify(name)}: it has more than 16 MB`);
    return decode(name, readFileSync(path));
  } catch (error) {
    if (error instanceof BuildError) throw error;
    if (errnoOf(error) === "ENOTDIR") return undefined;
    throw new BuildError("bake/not-found", `Cannot read ${JSON.stringify(name)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function readAll(context: CommandContext): Promise<Buffer> {
  const bytes = await buffer(context.environment.stdin());
  context.signal.throwIfAborted();
  return bytes;
}

function decode(name: string, bytes: Buffer): SourceText {
  try {
    return new SourceText(name, new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new BuildError("bake/syntax", `Cannot read ${JSON.stringify(name)}: it is not UTF-8`, { cause: error });
  }
}

/**
 * Makes the world around compose files. Variables come from `--var`, the environment, then the given files, `.env` unless
 * given.
 */
export function composeHost(
  context: CommandContext,
  given: ReadonlyMap<string, string>,
  envFiles: readonly string[] = [".env"],
): Omit<ComposeHost, "paths"> {
  const { env } = context.host;
  const outer = (name: string): string | undefined => given.get(name) ?? env[name];
  const files = envFiles.flatMap((path) => readSource(context, path) ?? []);
  const own = parseDotenvs(
    files.map(({ text }) => text),
    outer,
  );
  return { lookup: (name) => outer(name) ?? own.get(name), read: (path) => readSource(context, path) };
}

/** Names of compose files: the first that is there counts, with its override. */
const COMPOSE_NAMES = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/**
 * Reads the compose files of `-f`, of COMPOSE_FILE, or those with a usual name, and says where the project is.
 * @throws {BuildError} `bake/not-found`
 */
export async function composeSources(
  context: CommandContext,
  given: readonly string[],
): Promise<{ readonly files: readonly SourceText[]; readonly directory: string }> {
  const { env } = context.host;
  const byVariable = (env["COMPOSE_FILE"] ?? "")
    .split(env["COMPOSE_PATH_SEPARATOR"] || ":")
    .filter((name) => name !== "");
  const names = given.length > 0 ? given : byVariable;
  const [first] = names;
  if (first !== undefined) {
    return {
      files: await Promise.all(names.map((name) => readNamed(context, name))),
      directory: first === "-" ? "." : dirname(first),
    };
  }
  for (const name of COMPOSE_NAMES) {
    const source = readSource(context, name);
    const override = readSource(context, name.replace(/\.(?=ya?ml$)/, ".override."));
    if (source !== undefined) return { files: override === undefined ? [source] : [source, override], directory: "." };
  }
  throw new BuildError("bake/not-found", "There is no compose file here", {
    hint: `it is one of ${COMPOSE_NAMES.join(", ")}, or a file named with -f`,
  });
}

/** Reads the project's name of compose files; the last one that has it counts. */
export function projectName(files: readonly SourceText[]): string | undefined {
  return files.map(({ text }) => /^name:[ \t]*["']?([\w.-]+)/m.exec(text)?.[1]).findLast((name) => name !== undefined);
}
