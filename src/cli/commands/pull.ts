import type { Command } from "commander";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { platformOrDefault } from "../find-image.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { openProgress, progressMode } from "../progress-output.ts";

/** Declares `kiln pull`: pulls an image with all its files. A build pulls its images by itself. */
export function pullCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "pull <image>", run))
    .description("fetch an image from its registry")
    .option("--platform <os/arch>", "which of several platforms")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .option("--progress <mode>", "auto, tty, plain, quiet, rawjson or none")
    .option("-q, --quiet", "print only the digest")
    .addHelpText(
      "after",
      examples([
        ["kiln pull alpine", "the image for this machine"],
        ["kiln pull --platform linux/arm64 alpine:3.22", "for another"],
        ["kiln pull ghcr.io/team/app@sha256:...", "exactly this one"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const reference = parseReference(args[0] ?? "");
  const ref = formatReference(reference);
  const platform = platformOrDefault(context, options);
  const flag = typeof options["progress"] === "string" ? options["progress"] : undefined;
  const display = openProgress(progressMode(flag, options["quiet"] === true, context.host), context.host);
  await using engine = context.openEngine({
    progress: display.sink,
    accounts: await givenAccounts(context, options, reference.registry),
    insecureRegistries: options["insecure"] === true ? [reference.registry] : [],
  });
  try {
    const image = await engine.images.resolve(ref, { platform, mode: "pull", name: "of the store" }, context.signal);
    const stack = await engine.images.stack(image, context.signal);
    await engine.images.materialize(stack, undefined, context.signal);
    display.finish("success");
    context.print(image.manifest);
  } catch (error) {
    display.finish("failure");
    throw error;
  }
}
