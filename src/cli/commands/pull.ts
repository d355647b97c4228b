import type { Command } from "commander";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import type { ImagePlace } from "../../engine/images/image-places.ts";
import { platformOption, platformOrDefault } from "../find-image.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { MODES_TEXT, noticesOnly, openProgress, progressMode } from "../progress-output.ts";

/** Declares `kiln pull`: pulls an image with all its files. A build pulls its images by itself. */
export function pullCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "pull <image>", run))
    .description("fetch an image from its registry")
    .option("--platform <os/arch>", "which of several platforms")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .option("--progress <mode>", MODES_TEXT)
    .option("-q, --quiet", "print only the digest")
    .addHelpText(
      "after",
      examples([
        ["kiln pull alpine", "the image for this machine"],
        ["kiln pull --platform linux/arm64 alpine:3.22", "for another"],
        ["kiln pull ghcr.io/team/app@sha256:...", "exactly this one"],
        ["kiln pull docker-daemon:app:1", "from docker; also containers-storage:, oci:, docker-archive:, oci-archive:"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { imagePlace } = await import("../../engine/images/image-places.ts");
  const place = imagePlace(args[0] ?? "");
  if (place !== undefined) {
    await pullFrom(context, place, options);
    return;
  }
  const reference = parseReference(args[0] ?? "");
  const platform = platformOrDefault(context, options);
  const { pullImage } = await import("../../engine/images/pull-image.ts");
  const flag = typeof options["progress"] === "string" ? options["progress"] : undefined;
  const display = openProgress(progressMode(flag, options["quiet"] === true, context.host), context.host, "Pulling");
  await using engine = context.openEngine({
    progress: display.sink,
    accounts: await givenAccounts(context, options, reference.registry),
    insecureRegistries: options["insecure"] === true ? [reference.registry] : [],
  });
  try {
    const image = await pullImage(engine, { reference, platform, isStep: true }, display.sink, context.signal);
    display.finish("success");
    context.print(image.manifest);
  } catch (error) {
    display.finish("failure");
    throw error;
  }
}

/** Takes over images from an engine, an archive or a layout. */
async function pullFrom(
  context: CommandContext,
  place: ImagePlace,
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { loadFrom } = await import("../../engine/images/image-places.ts");
  await using engine = context.openEngine({ progress: noticesOnly(context) });
  const { store } = engine;
  const found = await loadFrom(engine, place, platformOption(context, options), context.signal);
  for (const { digest, names } of found) {
    // An engine's archive does not name an image that was asked for by its id.
    const name =
      names[0] ?? ("name" in place && !/^(?:sha256:)?[0-9a-f]{12,64}$/.test(place.name) ? place.name : undefined);
    if (name !== undefined && names.length === 0) {
      const one = store.images.find(digest);
      const { mediaType } = one.kind === "image" ? one.image.manifest : one.index;
      const target = { mediaType, digest, size: store.blobs.sizeOf(digest) ?? 0 };
      store.refs.set(formatReference(parseReference(name)), target);
    }
    context.print(digest);
  }
}
