import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { sshCommand } from "./ssh-command.ts";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import { withoutCredentials } from "../../../lib/core/credentials.ts";

export interface GitProgram {
  /**
   * Environment for git: PATH, HOME for ssh's and curl's own files, proxies, certificates. No other variable that
   * steers git is passed on.
   */
  readonly env: Readonly<Record<string, string>>;
  /** Allowed URL schemes, submodules included. `file` only where the caller trusts every URL. */
  readonly protocols: readonly ("https" | "http" | "ssh" | "git" | "file")[];
  /** Path of the program `kiln-runtime`. Its `guard` ends everything that git starts. */
  readonly guardPath: string;
  /** Milliseconds without progress output after which git is ended. */
  readonly quietMs?: number;
}

/** Limit of git's output in bytes; a larger one means a repository with millions of refs. */
const OUTPUT_LIMIT = 64 * 1024 * 1024;
/** Every network operation runs with `--progress`, so a server that still sends data is never this quiet. */
const QUIET_MS = 5 * 60 * 1000;

export interface GitCall {
  /** Git's arguments. Texts from outside stand after `--` or `--end-of-options`. */
  readonly args: readonly string[];
  /**
   * The repository; `undefined` for a call that needs none. Git never searches for one by itself: it would use the
   * configuration of any repository around the store.
   */
  readonly repository: string | undefined;
  readonly cwd: string;
  /** Configuration that must not appear in the list of processes: authorisation headers. */
  readonly secretConfig: readonly { readonly key: string; readonly value: string }[];
  readonly sshSocket: string | undefined;
}

/**
 * Configuration of every call. It is on the command line, so it also holds for the processes that git starts, and no
 * repository can override it.
 */
const SETTINGS = [
  "protocol.allow=never",
  "core.hooksPath=/dev/null",
  "core.attributesFile=/dev/null",
  "core.fsmonitor=false",
  "core.autocrlf=false",
  "core.symlinks=true",
  "core.gitProxy=none",
  "advice.detachedHead=false",
  "init.defaultBranch=master",
  "gc.auto=0",
  "maintenance.auto=false",
  "credential.helper=",
  "fetch.fsckObjects=false",
  "fetch.recurseSubmodules=false",
  "submodule.recurse=false",
  "http.lowSpeedLimit=1",
  "http.lowSpeedTime=120",
];

/**
 * Runs git and returns its output. It ignores the configuration of the user, the machine and any enclosing repository,
 * runs no hooks, asks nothing on a terminal and speaks only the allowed protocols. No process that git starts outlives
 * git or kiln.
 * @throws {BuildError} `source/git` when git cannot be run, prints too much or stands still
 * @throws {GitFailure} with git's own last words
 */
export async function runGit(program: GitProgram, call: GitCall, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const config = [...SETTINGS, ...program.protocols.map((protocol) => `protocol.${protocol}.allow=always`)].flatMap(
    (setting) => ["-c", setting],
  );
  const child = spawn(program.guardPath, ["guard", "git", ...config, ...call.args], {
    cwd: call.cwd,
    env: environment(program, call),
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    // The guard kills all of git's processes before it exits.
    killSignal: "SIGTERM",
  });
  let stopped: string | undefined;
  const stop = (why: string): void => {
    stopped ??= why;
    child.kill("SIGTERM");
  };
  const quietMs = program.quietMs ?? QUIET_MS;
  const quiet = setTimeout(() => stop(`git made no progress for ${Math.round(quietMs / 1000)} seconds`), quietMs);
  const output: Buffer[] = [];
  let outputBytes = 0;
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    quiet.refresh();
    outputBytes += chunk.length;
    if (outputBytes > OUTPUT_LIMIT) stop("git printed more than 64 MiB");
    else output.push(chunk);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    quiet.refresh();
    errors = withoutProgress(errors + text).slice(-4096);
  });
  const status = await new Promise<number | undefined>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? undefined));
  })
    .catch((error: unknown) => {
      signal.throwIfAborted();
      if (errnoOf(error) === "ENOENT" && !existsSync(program.guardPath)) {
        throw new BuildError(
          "runtime/missing",
          `Cannot start ${JSON.stringify(program.guardPath)}: there is no such file`,
        );
      }
      throw new BuildError("source/git", `Cannot run git: ${errnoOf(error) ?? "it did not start"}`, { cause: error });
    })
    .finally(() => clearTimeout(quiet));
  signal.throwIfAborted();
  if (stopped !== undefined) throw new GitFailure(`fatal: ${stopped}`);
  if (status === 0) return Buffer.concat(output).toString();
  if (status === 127) {
    throw new BuildError("source/git", "Cannot run git: there is no such program", {
      hint: "install it, for example with: apt-get install git",
    });
  }
  throw new GitFailure(withoutCredentials(errors.trim()));
}

/** Removes progress output: its lines overwrite each other, and the last state of each line is its text. */
function withoutProgress(text: string): string {
  return text.replace(/[^\r\n]*\r(?=[^\n])/g, "");
}

/** An error of git itself, for callers that can try another way. `text` is git's message. */
export class GitFailure extends Error {
  readonly text: string;

  constructor(text: string) {
    super(text);
    this.text = text;
  }
}

/** Git's variables for trusted authorities. */
const CERTIFICATES = new Set(["GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO"]);

function environment(program: GitProgram, call: GitCall): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(program.env))
    if (!name.startsWith("GIT_") || CERTIFICATES.has(name)) env[name] = value;
  delete env["SSH_AUTH_SOCK"];
  env["GIT_CONFIG_NOSYSTEM"] = "1";
  env["GIT_CONFIG_GLOBAL"] = "/dev/null";
  env["GIT_ATTR_NOSYSTEM"] = "1";
  env["GIT_TERMINAL_PROMPT"] = "0";
  env["GIT_SSH_COMMAND"] = sshCommand(program.env["HOME"]);
  // An explicit repository is not searched for; the processes that git starts for submodules stop searching below the
  // store.
  env["GIT_DIR"] = call.repository ?? "/dev/null";
  env["GIT_CEILING_DIRECTORIES"] = dirname(call.cwd);
  // This takes precedence over every protocol.* setting, also in a submodule's own configuration.
  env["GIT_ALLOW_PROTOCOL"] = program.protocols.join(":");
  // A missing object is an error: git would start a fetch of its own for each one.
  env["GIT_NO_LAZY_FETCH"] = "1";
  env["LC_ALL"] = "C";
  if (call.sshSocket !== undefined) env["SSH_AUTH_SOCK"] = call.sshSocket;
  env["GIT_CONFIG_COUNT"] = String(call.secretConfig.length);
  for (const [index, { key, value }] of call.secretConfig.entries()) {
    env[`GIT_CONFIG_KEY_${index}`] = key;
    env[`GIT_CONFIG_VALUE_${index}`] = value;
  }
  return env;
}
