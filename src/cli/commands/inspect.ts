import { printableDocument, printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { serializeImageConfig } from "../../../lib/core/image-config.ts";
import { MAX_MANIFEST_BYTES } from "../../../lib/core/manifest.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { type ImageView, summaryOf } from "../../engine/images/image-summary.ts";
import { findImage, platformOrDefault } from "../find-image.ts";
import { templateOf } from "../flags/format.ts";
import { printText } from "../listing.ts";
import type { Store } from "../../../lib/store/store.ts";

/** Declares `kiln inspect`: prints all facts about images as JSON. */
export function inspectCommand(program: Command, cli: Cli): void {
  command(program, cli, "inspect <image...>", run)
    .description("show an image's configuration and layers as JSON")
    .option("-f, --format <format>", "json (one line), or a Go template such as {{.Config.Env}}")
    .option("-s, --size", "accepted for docker's sake: sizes are always shown")
    .option("--type <type>", "only image: kiln has no other objects", "image")
    .option("--raw", "the manifest's own bytes; the index's for several platforms")
    .option("--config", "the configuration's own bytes")
    .option("--platform <os/arch>", "only this one of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln inspect app", "configuration and layers"],
        ["kiln inspect -f '{{json .Config.Labels}}' app", "one part of it"],
        ["kiln inspect --config app", "the configuration as it is in a registry"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  checkType(options["type"]);
  const { format } = options;
  const template = typeof format === "string" && format !== "json" ? await templateOf(format) : undefined;
  await using engine = context.openEngine();
  const { store } = engine;
  const shown = args.map((name) => view(context, store, name, options));
  // The exact bytes of the digest, except on a terminal, where they are made safe to look at.
  const write = (document: Buffer): void => {
    const { stdout } = context.host;
    stdout.write(stdout.isTTY === true ? printableDocument(document.toString()) : document);
  };
  if (options["raw"] === true) {
    for (const { digest } of shown) write(Buffer.from(store.blobs.readBytes(digest, MAX_MANIFEST_BYTES) ?? ""));
  } else if (options["config"] === true) {
    for (const { image } of shown) write(Buffer.from(serializeImageConfig(image.config)));
  } else {
    const summaries = shown.map((one) => summaryOf(store, one));
    if (template === undefined) context.print(printableJson(summaries, format === "json" ? undefined : 2));
    else {
      const { templateValue } = await import("../inspect-value.ts");
      for (const summary of summaries) printText(context, template.render(templateValue(summary)));
    }
  }
}

/** Refuses docker's other object types at once. */
function checkType(type: unknown): void {
  if (type === "image" || type === undefined) return;
  throw new BuildError("cli/usage", `Cannot inspect something of type ${JSON.stringify(type)}`, {
    hint: "kiln keeps images only: --type image",
  });
}

/**
 * Finds the requested image. Without --platform an index is shown with this machine's platform, or the first present
 * one.
 */
function view(
  context: CommandContext,
  store: Store,
  text: string,
  options: Readonly<Record<string, unknown>>,
): ImageView {
  const found = store.images.find(text);
  if (found.kind === "image" || options["platform"] !== undefined) {
    const image = findImage(context, store, text, options);
    return { digest: image.manifestDigest, image, index: undefined };
  }
  const { digest, index } = found;
  const here = index.manifests.flatMap((one) => store.images.get(one.digest) ?? []);
  const wanted = platformOrDefault(context, options);
  const image = here.find(
    ({ config: { os, architecture } }) => os === wanted.os && architecture === wanted.architecture,
  );
  return { digest, image: image ?? here[0] ?? findImage(context, store, text, options), index };
}
