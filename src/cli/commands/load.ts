import type { Command } from "commander";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import { type CommandContext, refuseTerminal } from "../context.ts";
import { platformOption } from "../find-image.ts";

/** Declares `kiln load`: loads images of an archive or an OCI layout directory into the local store. */
export function loadCommand(program: Command, cli: Cli): void {
  command(program, cli, "load", run)
    .description("read images from an archive")
    .option("-i, --input <path>", "archive or OCI layout directory (default: standard input)", "-")
    .option("--platform <os/arch>", "only this one of several platforms")
    .option("-q, --quiet", "print nothing")
    .addHelpText(
      "after",
      examples([
        ["kiln load -i app.tar", "an archive of `docker save`, `kiln save` or skopeo"],
        ["docker save app | kiln load", "take an image over from docker"],
        ["kiln load -i layout/", "a directory with an OCI layout"],
      ]),
    );
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (options["input"] === "-") refuseTerminal(context, "load", "kiln load -i FILE, or docker save app | kiln load");
  const { loadImages } = await import("../../engine/images/load-images.ts");
  await using engine = context.openEngine();
  const loaded = await loadImages(
    engine,
    { source: String(options["input"]), platform: platformOption(context, options) },
    context.signal,
  );
  if (options["quiet"] === true) return;
  for (const image of loaded) {
    if (image.names.length === 0) context.print(`Loaded image ID: ${image.configDigest ?? image.digest}`);
    for (const name of image.names) context.print(`Loaded image: ${familiarReference(parseReference(name))}`);
  }
}
