import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { platformOption } from "../find-image.ts";
import { noticesOnly } from "../progress-output.ts";

/** Declares `kiln save`: writes images as an archive that `docker load` and `kiln load` read. */
export function saveCommand(program: Command, cli: Cli): void {
  command(program, cli, "save <image...>", run)
    .description("write images to an archive")
    .option("-o, --output <file>", "where to write (default: standard output)", "-")
    .option("--format <format>", "docker (the default), or oci for an OCI layout only", "docker")
    .option("--platform <os/arch>", "one of several platforms; docker archives hold one")
    .addHelpText(
      "after",
      examples([
        ["kiln save app | docker load", "hand an image to docker"],
        ["kiln save -o app.tar app", "keep it in a file"],
        ["kiln save -o all.tar app base", "several, with shared layers once"],
        ["kiln save --format oci -o app.tar app", "for tools that read OCI layouts only"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { format, output: destination } = options;
  if (format !== "docker" && format !== "oci") {
    throw new BuildError("cli/usage", `Cannot save as ${JSON.stringify(format)}`, { hint: "formats: docker, oci" });
  }
  const { saveImages } = await import("../../engine/images/save-images.ts");
  await using engine = context.openEngine();
  const request = {
    images: args,
    kind: format,
    platform: platformOption(context, options),
    destination: String(destination),
    progress: noticesOnly(context),
  } as const;
  await saveImages(engine, request, context.signal);
}
