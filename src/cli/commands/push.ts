import type { Command } from "commander";
import { parseOutput } from "../../export/parse-output.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { platformOption } from "../find-image.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { MODES_TEXT, openProgress, progressMode } from "../progress-output.ts";

/** Declares `kiln push`: pushes an image of the local store to the registry in its name. */
export function pushCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "push <image>", run))
    .description("send an image to its registry")
    .option("--platform <os/arch>", "only this one of several platforms")
    .option("--compression <kind>", "gzip, zstd or uncompressed, for layers built here", "gzip")
    .option("--compression-level <level>", "how hard to compress")
    .option("--force-compression", "also layers of base images")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .option("--progress <mode>", MODES_TEXT)
    .option("-q, --quiet", "print only the digest")
    .addHelpText(
      "after",
      examples([
        ["kiln push ghcr.io/team/app:1", "with the account of `kiln login` or `docker login`"],
        ["kiln push --compression zstd localhost:5000/app", "smaller, for clients that know zstd"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const reference = parseReference(args[0] ?? "");
  const flag = typeof options["progress"] === "string" ? options["progress"] : undefined;
  const level = options["compressionLevel"];
  // The values are parsed like an output of a build, with the same errors.
  const output = parseOutput(
    new Map([
      ["type", "registry"],
      ["store", "false"],
      ["name", formatReference(reference)],
      ["compression", String(options["compression"])],
      ...(typeof level === "string" ? [["compression-level", level] as const] : []),
      ["force-compression", String(options["forceCompression"] === true)],
    ]),
  );
  const display = openProgress(progressMode(flag, options["quiet"] === true, context.host), context.host, "Pushing");
  await using engine = context.openEngine({
    progress: display.sink,
    accounts: await givenAccounts(context, options, reference.registry),
    insecureRegistries: options["insecure"] === true ? [reference.registry] : [],
  });
  const { exportStored } = await import("../../engine/images/export-stored.ts");
  try {
    const exported = await exportStored(
      engine,
      { image: args[0] ?? "", platform: platformOption(context, options), output, progress: display.sink },
      context.signal,
    );
    display.finish("success");
    if (exported?.manifest !== undefined) context.print(exported.manifest.digest);
  } catch (error) {
    display.finish("failure");
    throw error;
  }
}
