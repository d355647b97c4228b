import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** Declares `kiln tag`: adds a name to an image. */
export function tagCommand(program: Command, cli: Cli): void {
  command(program, cli, "tag <image> <name>", run)
    .description("give an image another name")
    .addHelpText("after", examples([["kiln tag app ghcr.io/team/app:1", "then: kiln push ghcr.io/team/app:1"]]));
}

async function run(context: CommandContext, args: readonly string[]): Promise<void> {
  const [source = "", name = ""] = args;
  const reference = parseReference(name);
  if (reference.digest !== undefined) {
    throw new BuildError("reference/malformed", `Cannot tag an image ${JSON.stringify(name)}: it has a digest`, {
      hint: "a digest follows from the image; give a name with a tag",
    });
  }
  const target = formatReference(reference);
  await using engine = context.openEngine();
  const { store } = engine;
  const found = store.images.find(source);
  const digest = found.kind === "image" ? found.image.manifestDigest : found.digest;
  const { mediaType } = found.kind === "image" ? found.image.manifest : found.index;
  store.refs.set(target, { mediaType, digest, size: store.blobs.sizeOf(digest) ?? 0 });
}
