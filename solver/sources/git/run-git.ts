import { spawn } from "node:child_process";
import { BuildError, errnoOf } from "../../../src/core/errors.ts";

export interface GitProgram {
  /** Environment for git: PATH, and HOME for ssh's own files. Nothing of it that steers git is passed on. */
  readonly env: Readonly<Record<string, string>>;
  /** URL schemes that may be fetched, submodules included. `file` only where the caller trusts every URL. */
  readonly protocols: readonly ("https" | "http" | "ssh" | "git" | "file")[];
}

/** Bytes of git's output that are read; more is a repository with millions of refs. */
const OUTPUT_LIMIT = 64 * 1024 * 1024;

export interface GitCall {
  /** Git's arguments. Whatever comes from outside stands behind `--` or `--end-of-options`. */
  readonly args: readonly string[];
  readonly cwd: string;
  /** Configuration that must not be seen in the list of processes: authorisation headers. */
  readonly secretConfig: readonly { readonly key: string; readonly value: string }[];
  readonly sshSocket: string | undefined;
}

/**
 * Runs git and returns what it prints. No configuration of the user's or the machine's counts, no hook runs, nothing is
 * asked on a terminal, and only the allowed protocols are spoken.
 * @throws {BuildError} `source/git` with git's own last words.
 */
export async function runGit(program: GitProgram, call: GitCall, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const config = [
    "protocol.allow=never",
    ...program.protocols.map((protocol) => `protocol.${protocol}.allow=always`),
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "advice.detachedHead=false",
    "init.defaultBranch=master",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    "fetch.fsckObjects=false",
    "submodule.recurse=false",
  ].flatMap((setting) => ["-c", setting]);
  // Through sh for the umask: Node has only one for the whole process, and modes of the files must not depend on it.
  const child = spawn("/bin/sh", ["-c", 'umask 022 && exec git "$@"', "git", ...config, ...call.args], {
    cwd: call.cwd,
    env: environment(program, call),
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
  });
  const output: Buffer[] = [];
  let outputBytes = 0;
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    outputBytes += chunk.length;
    if (outputBytes > OUTPUT_LIMIT) child.kill("SIGKILL");
    else output.push(chunk);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-4096)));
  const status = await new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new BuildError("source/git", `Cannot run git: ${errnoOf(error) ?? "it did not start"}`, { cause: error });
  });
  signal.throwIfAborted();
  if (status === 0) return Buffer.concat(output).toString();
  if (status === 127) {
    throw new BuildError("source/git", "Cannot run git: there is no such program", {
      hint: "install it, for example with: apt-get install git",
    });
  }
  throw new GitFailure(withoutCredentials(errors.trim()));
}

/** Git ran and refused. `text` is what it said. For callers that have another way to try. */
export class GitFailure extends Error {
  readonly text: string;

  constructor(text: string) {
    super(text);
    this.text = text;
  }
}

function environment(program: GitProgram, call: GitCall): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(program.env)) if (!name.startsWith("GIT_")) env[name] = value;
  delete env["SSH_AUTH_SOCK"];
  env["GIT_CONFIG_NOSYSTEM"] = "1";
  env["GIT_CONFIG_GLOBAL"] = "/dev/null";
  env["GIT_TERMINAL_PROMPT"] = "0";
  env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes";
  env["LC_ALL"] = "C";
  if (call.sshSocket !== undefined) env["SSH_AUTH_SOCK"] = call.sshSocket;
  env["GIT_CONFIG_COUNT"] = String(call.secretConfig.length);
  for (const [index, { key, value }] of call.secretConfig.entries()) {
    env[`GIT_CONFIG_KEY_${index}`] = key;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return env;
}

/** Text with credentials taken out of its URLs. The user of an ssh URL is no secret, its password is. */
export function withoutCredentials(text: string): string {
  return (
    text
      .replace(/\b(ssh:\/\/[^/\s@:']+)(?::[^/\s']*)?@/gi, "$1@")
      // Up to the last @ before the path: a password may hold others.
      .replace(/\b((?!ssh:)[a-z][a-z0-9+.-]*:\/\/)[^/\s']*@/gi, "$1")
  );
}
