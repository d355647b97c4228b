import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { malformed } from "../flags/csv.ts";
import { fromEnvironment } from "../flags/values.ts";

type Variables = Readonly<Record<string, string | undefined>>;

const MAX_BYTES = 1 << 20;

/**
 * Reads `--env-file` and then `-e`, as docker does: a bare name is passed on from this environment.
 * @throws {BuildError} `cli/usage`
 */
export function readEnvironment(
  flags: { readonly env: readonly string[]; readonly envFile: readonly string[] },
  host: { readonly env: Variables; readonly workingDirectory: string },
): string[] {
  const files = flags.envFile.flatMap((file) => readEnvFile(file, host));
  const own = flags.env.flatMap((flag) => {
    if (flag.startsWith("=")) throw malformed("env", flag, "it has no name", 'write "name=value"');
    return entry(flag, host.env);
  });
  return [...files, ...own];
}

/** Lines `NAME=value`, taken as they are: quotes belong to the value. Empty lines and those that begin with # are none. */
function readEnvFile(
  file: string,
  { env, workingDirectory }: { readonly env: Variables; readonly workingDirectory: string },
): string[] {
  const bad = (why: string, line?: number): BuildError =>
    new BuildError(
      "cli/usage",
      `Cannot read --env-file ${JSON.stringify(file)}${line === undefined ? "" : `, line ${line}`}: ${why}`,
    );
  const path = resolve(workingDirectory, file);
  let text: string;
  try {
    const status = statSync(path);
    if (status.isDirectory()) throw bad("it is a directory");
    if (status.isFile() && status.size > MAX_BYTES) throw bad("it has more than 1 MB");
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw error instanceof BuildError ? error : bad(messageOf(error));
  }
  return text.split("\n").flatMap((raw, index) => {
    const line = raw.replace(/\r$/, "").trimStart();
    if (line === "" || line.startsWith("#")) return [];
    const name = line.split("=", 1)[0] ?? "";
    if (name === "") throw bad("a variable has no name", index + 1);
    if (/\s/.test(name)) throw bad(`the name ${JSON.stringify(name)} has blanks in it`, index + 1);
    if (line.includes("\0")) throw bad("it has a zero byte", index + 1);
    return entry(line, env);
  });
}

function entry(text: string, env: Variables): string[] {
  if (text.includes("=")) return [text];
  const value = fromEnvironment(text, env);
  return value === undefined ? [] : [`${text}=${value}`];
}
