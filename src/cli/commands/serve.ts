import { hostname, release, totalmem } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { Semaphore } from "../../../lib/core/limits.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import type { ServedRequest } from "../../serve/server.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { printError } from "../print-error.ts";

/** Declares `kiln serve`: answers docker's clients on a unix socket. */
export function serveCommand(program: Command, cli: Cli): void {
  command(program, cli, "serve", run)
    .description("let docker's clients build on kiln, over a unix socket")
    .option("--socket <path>", "the socket (default: kiln.sock in /run, or in XDG_RUNTIME_DIR)")
    .option("-H, --host <address>", "the same as docker writes it: unix:///run/kiln.sock")
    .option("--builds <count>", "builds at one time; others wait (default: 8)")
    .option("-q, --quiet", "no line for each request")
    .addHelpText(
      "after",
      examples([
        ["kiln serve", "then: DOCKER_HOST=unix:///run/kiln.sock DOCKER_BUILDKIT=0 docker build ."],
        ["kiln serve --socket ./kiln.sock", "for dockerode, docker-py or Testcontainers of one project"],
      ]),
    );
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const socket = socketPath(context, options);
  const { serveApi } = await import("../../serve/server.ts");
  const isQuiet = options["quiet"] === true;
  await serveApi(
    {
      environment: context.environment,
      builds: new Semaphore(buildsOf(options["builds"])),
      machine: { name: hostname(), kernel: release(), memoryBytes: totalmem() },
      socket,
      onListening: () => {
        context.warn(`kiln: listening on unix://${socket}; Ctrl-C ends it`);
        context.warn(`  export DOCKER_HOST=unix://${socket} DOCKER_BUILDKIT=0`);
      },
      onServed: (served) => {
        const { error, path } = served;
        // A mistake of ours, with its stack.
        if (error !== undefined && !(error instanceof BuildError)) printError(error, context.host);
        if (!isQuiet && path !== "/_ping") context.warn(printableLine(servedLine(served)));
      },
    },
    context.signal,
  );
  // Ending is what the signal asked for.
  return 0;
}

function servedLine({ method, path, status, wallMs, error }: ServedRequest): string {
  const time = wallMs < 1000 ? `${Math.round(wallMs)} ms` : `${(wallMs / 1000).toFixed(1)} s`;
  return `kiln: ${method} ${path} ${status} in ${time}${error === undefined ? "" : `: ${messageOf(error)}`}`;
}

/** @throws {BuildError} `cli/usage` */
function socketPath({ host, environment }: CommandContext, options: Readonly<Record<string, unknown>>): string {
  const { socket, host: address } = options;
  if (typeof socket === "string" && socket !== "") return resolve(host.workingDirectory, socket);
  if (typeof address === "string") {
    const path = /^unix:\/\/(\/.+)$/.exec(address)?.[1];
    if (path !== undefined) return path;
    throw new BuildError("cli/usage", `Cannot listen on ${JSON.stringify(address)}: kiln serves unix sockets only`, {
      hint: "write unix:///PATH; a client on another machine can reach it through ssh -L",
    });
  }
  const runtime = host.env["XDG_RUNTIME_DIR"] ?? "";
  if (host.uid === 0 && host.env["KILN_ROOTLESS"] === undefined) return "/run/kiln.sock";
  return join(runtime === "" ? environment.root : runtime, "kiln.sock");
}

/** @throws {BuildError} `cli/usage` */
function buildsOf(text: unknown): number {
  if (text === undefined) return 8;
  if (typeof text === "string" && /^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw new BuildError("cli/usage", `Cannot use --builds ${JSON.stringify(text)}: it is a number from 1 to 999`);
}
