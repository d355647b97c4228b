import { printableDocument, printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import { serializeImageConfig } from "../../../lib/core/image-config.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";

/** `kiln inspect`: everything known of images, as JSON. */
export function inspectCommand(program: Command, cli: Cli): void {
  command(program, cli, "inspect <image...>", run)
    .description("show an image's configuration and layers as JSON")
    .option("--raw", "the manifest's own bytes")
    .option("--config", "the configuration's own bytes")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln inspect app", "configuration and layers"],
        ["kiln inspect --config app", "the configuration as it is in a registry"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  await using engine = context.openEngine();
  const { store } = engine;
  const shown = args.map((name) => {
    const image = findImage(context, store, name, options);
    const { config } = image;
    return {
      image,
      summary: {
        Id: image.configDigest,
        RepoTags: store.refs.namesOf(image.manifestDigest).map((tag) => familiarReference(parseReference(tag))),
        ManifestDigest: image.manifestDigest,
        Created: config.created,
        Author: config.author,
        Architecture: config.architecture,
        Variant: config.variant,
        Os: config.os,
        Config: config.config,
        RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
        Layers: image.manifest.layers,
        Snapshots: image.layers.map((id) => ({ Id: id, State: store.snapshots.get(id)?.state })),
      },
    };
  });
  // The bytes that the digest is of, but for a person who looks at them.
  const write = (document: Buffer): void => {
    const { stdout } = context.host;
    stdout.write(stdout.isTTY === true ? printableDocument(document.toString()) : document);
  };
  for (const { image } of shown) {
    if (options["raw"] === true) {
      write(Buffer.from(store.blobs.readBytes(image.manifestDigest, 4 << 20) ?? ""));
      return;
    }
    if (options["config"] === true) {
      write(Buffer.from(serializeImageConfig(image.config)));
      return;
    }
  }
  context.print(
    printableJson(
      shown.map(({ summary }) => summary),
      2,
    ),
  );
}
