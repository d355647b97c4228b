import { printableDocument, printableJson } from "../../../lib/core/printable.ts";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { serializeImageConfig } from "../../../lib/core/image-config.ts";
import { MAX_MANIFEST_BYTES } from "../../../lib/core/manifest.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage, platformOrDefault } from "../find-image.ts";
import { templateOf } from "../flags/format.ts";
import { layersSize } from "../image-size.ts";
import { printText } from "../listing.ts";
import type { Digest } from "../../../lib/core/digest.ts";
import type { Index } from "../../../lib/core/oci.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { Store } from "../../../lib/store/store.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";

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

/** An image to show: alone, or as one platform of the requested index. */
interface View {
  /** Digest of the requested manifest or index. */
  readonly digest: Digest;
  readonly image: StoredImage;
  readonly index: Index | undefined;
}

/**
 * Finds the requested image. Without --platform an index is shown with this machine's platform, or the first present
 * one.
 */
function view(context: CommandContext, store: Store, text: string, options: Readonly<Record<string, unknown>>): View {
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

function summaryOf(store: Store, { digest, image, index }: View): object {
  const { config } = image;
  const tags = [...new Set([digest, image.manifestDigest])].flatMap((one) =>
    store.refs.namesOf(one).map((name) => ({ name: parseReference(name), digest: one })),
  );
  const repositories = tags.map(({ name, digest: tagged }) =>
    familiarReference({ ...name, tag: undefined, digest: tagged }),
  );
  return {
    // A build for several platforms is identified by its index, as in `images` and `-q`.
    Id: index === undefined ? image.configDigest : digest,
    RepoTags: [...new Set(tags.map(({ name }) => familiarReference(name)))],
    RepoDigests: [...new Set(repositories)],
    Parent: "",
    Comment: config.history.at(-1)?.comment ?? "",
    ManifestDigest: image.manifestDigest,
    ...(index === undefined
      ? {}
      : {
          IndexDigest: digest,
          Manifests: index.manifests.map((one) => ({
            Digest: one.digest,
            Platform: one.platform === undefined ? undefined : formatPlatform(one.platform),
          })),
        }),
    Created: config.created,
    DockerVersion: "",
    Author: config.author ?? "",
    Architecture: config.architecture,
    Variant: config.variant,
    Os: config.os,
    OsVersion: config["os.version"],
    Size: layersSize(image.layers, store),
    Descriptor: {
      mediaType: index?.mediaType ?? image.manifest.mediaType,
      digest,
      size: store.blobs.sizeOf(digest) ?? 0,
    },
    Config: config.config,
    RootFS: { Type: "layers", Layers: config.rootfs.diff_ids },
    Layers: image.manifest.layers,
    Snapshots: image.layers.map((id) => ({ Id: id, State: store.snapshots.get(id)?.state })),
  };
}
