import type { Command } from "commander";
import { DEFAULT_IMAGE_OPTIONS } from "../../export/output-spec.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { platformOption } from "../find-image.ts";
import { noticesOnly } from "../progress-output.ts";

/** `kiln save`: an image as an archive that `docker load` and `kiln load` read. */
export function saveCommand(program: Command, cli: Cli): void {
  command(program, cli, "save <image>", run)
    .description("write an image to an archive")
    .option("-o, --output <file>", "where to write (default: standard output)", "-")
    .option("--format <format>", "docker (the default), or oci for an OCI layout only", "docker")
    .option("--platform <os/arch>", "one of several platforms; docker archives hold one")
    .addHelpText(
      "after",
      examples([
        ["kiln save app | docker load", "hand an image to docker"],
        ["kiln save -o app.tar app", "keep it in a file"],
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
  const { exportStored } = await import("../../engine/images/export-stored.ts");
  await using engine = context.openEngine();
  const output = {
    kind: format,
    image: { ...DEFAULT_IMAGE_OPTIONS, compression: "uncompressed" },
    destination: String(destination),
    form: "tar",
  } as const;
  await exportStored(
    engine,
    { image: args[0] ?? "", platform: platformOption(context, options), output, progress: noticesOnly(context) },
    context.signal,
  );
}
