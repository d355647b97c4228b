import type { Command } from "commander";
import { type Cli, command, examples } from "../command.ts";
import { type CommandContext, refuseTerminalOutput } from "../context.ts";
import { platformOption } from "../find-image.ts";
import { noticesOnly } from "../progress-output.ts";

/** Declares `kiln export`: writes an image's files as one tar, without layers and configuration. */
export function exportCommand(program: Command, cli: Cli): void {
  command(program, cli, "export <image>", run)
    .description("write an image's files as one tar")
    .option("-o, --output <file>", "where to write (default: standard output)", "-")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText("after", examples([["kiln export app | tar x -C root", "a root file system"]]));
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const destination = String(options["output"]);
  if (destination === "-") refuseTerminalOutput(context, "kiln export -o FILE");
  const { exportStored } = await import("../../engine/images/export-stored.ts");
  await using engine = context.openEngine();
  const output = { kind: "tar", destination, platformSplit: undefined, sourceDateEpoch: undefined } as const;
  await exportStored(
    engine,
    { image: args[0] ?? "", platform: platformOption(context, options), output, progress: noticesOnly(context) },
    context.signal,
  );
}
