import { hostname, release, totalmem } from "node:os";
import type { Command } from "commander";
import { printableJson, printableLine } from "../../../lib/core/printable.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { templateOf } from "../flags/format.ts";
import { printText } from "../listing.ts";
import { VERSION } from "../../../lib/core/version.ts";

/**
 * Declares `kiln info`: describes the machine and the store, by docker's names. `kiln doctor` tells what a build may do
 * here.
 */
export function infoCommand(program: Command, cli: Cli): void {
  command(program, cli, "info", run)
    .description("show the machine and the store")
    .option("-f, --format <format>", "json, or a Go template such as {{.DockerRootDir}}")
    .addHelpText("after", examples([["kiln info -f '{{.DockerRootDir}}'", "where the store is"]]));
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { environment } = context;
  await using engine = context.openEngine();
  const info = {
    Architecture: { amd64: "x86_64", arm64: "aarch64" }[environment.platform.architecture] ?? environment.arch,
    Containers: 0,
    DockerRootDir: environment.root,
    Images: engine.store.images.list().length,
    KernelVersion: release(),
    MemTotal: totalmem(),
    Name: hostname(),
    NCPU: environment.processors,
    OSType: environment.platform.os,
    ServerVersion: VERSION,
  };
  const { format } = options;
  if (format === "json") context.print(printableJson(info));
  else if (typeof format === "string") printText(context, (await templateOf(format)).render(info));
  else for (const [name, value] of Object.entries(info)) context.print(`${name}: ${printableLine(String(value))}`);
}
