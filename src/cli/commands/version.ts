import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableJson } from "../../../lib/core/printable.ts";
import { object, readJsonAs, TEXT } from "../../../lib/core/shape.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { templateOf } from "../flags/format.ts";
import { printText } from "../listing.ts";
import { VERSION } from "../../../lib/core/version.ts";

/**
 * Declares `kiln version`: prints the version. Client and server are the same program; docker's templates need both.
 */
export function versionCommand(program: Command, cli: Cli): void {
  command(program, cli, "version", run)
    .description("show the version of kiln and of what it runs on")
    .option("--json", "as JSON")
    .option("-f, --format <format>", "json, or a Go template such as {{.Server.Version}}")
    .addHelpText("after", examples([["kiln version -f '{{.Client.Version}}'", "only the number"]]));
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { os, architecture } = context.environment.platform;
  const made = releasedFrom(context.host.partsDirectory);
  const own = {
    Version: VERSION,
    ...(made === undefined ? {} : { GitCommit: made.commit, BuildTime: made.date }),
    Os: os,
    Arch: architecture,
    NodeVersion: process.versions.node,
  };
  const version = { Client: own, Server: { ...own, KernelVersion: release() } };
  const { format } = options;
  if (options["json"] === true || format === "json") context.print(printableJson(version));
  else if (typeof format === "string") printText(context, (await templateOf(format)).render(version));
  else {
    context.print(`kiln ${own.Version}`);
    if (made !== undefined) context.print(`  commit    ${made.commit}`);
    context.print(`  platform  ${own.Os}/${own.Arch}`);
    context.print(`  node      ${own.NodeVersion}`);
    context.print(`  kernel    ${version.Server.KernelVersion}`);
  }
}

const RELEASE = object({ commit: TEXT, date: TEXT });

/** Reads what a published kiln was made of; a clone says nothing of the kind. */
function releasedFrom(partsDirectory: string): { readonly commit: string; readonly date: string } | undefined {
  const file = join(partsDirectory, "release.json");
  if (!existsSync(file)) return undefined;
  return readJsonAs(RELEASE, readFileSync(file, "utf8"), (why) => {
    throw new BuildError("system/failed", `Cannot read "${file}": ${why}`, { hint: "install kiln again" });
  });
}
