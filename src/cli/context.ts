import { BuildError } from "../../lib/core/errors.ts";
import { Engine, type EngineOptions } from "../engine/engine.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import { environmentOf } from "./environment.ts";
import type { Host } from "./host.ts";

/** The environment of every command. */
export interface CommandContext {
  readonly host: Host;
  readonly environment: BuildEnvironment;
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Prints one line to standard output. */
  print(line: string): void;
  /** Prints one line to standard error. */
  warn(line: string): void;
  openEngine(options?: Partial<EngineOptions>): Engine;
}

export function commandContext(host: Host, root: string | undefined, signal: AbortSignal): CommandContext {
  const warn = (line: string): void => void host.stderr.write(`${line}\n`);
  const environment = environmentOf(host, root, warn);
  return {
    host,
    environment,
    signal,
    print: (line) => void host.stdout.write(`${line}\n`),
    warn,
    openEngine: (options = {}) => new Engine(environment, { progress: () => {}, ...options }),
  };
}

/**
 * Refuses to read an archive from a terminal.
 * @throws {BuildError} `cli/usage` where standard input is a terminal
 */
export function refuseTerminal({ host }: CommandContext, verb: string, hint: string): void {
  if (host.stdin.isTTY !== true) return;
  throw new BuildError("cli/usage", `Cannot ${verb} from a terminal: standard input is to be an archive`, { hint });
}

/**
 * Refuses to write an archive to a terminal.
 * @throws {BuildError} `cli/usage` where standard output is a terminal
 */
export function refuseTerminalOutput({ host }: CommandContext, hint: string): void {
  if (host.stdout.isTTY !== true) return;
  throw new BuildError("cli/usage", "Cannot write an archive to a terminal", { hint });
}
