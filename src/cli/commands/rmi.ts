import type { Command } from "commander";
import { BuildError } from "../../core/errors.ts";
import { familiarReference, formatReference, parseReference } from "../../core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** `kiln rmi`: takes names away; an image without a name is removed. The space comes back with `kiln prune`. */
export function rmiCommand(program: Command, cli: Cli): void {
  command(program, cli, "rmi <image...>", run)
    .description("remove images, or one of their names")
    .option("-f, --force", "remove an image with all its names; a missing one is no error")
    .addHelpText(
      "after",
      examples([
        ["kiln rmi app:1", "one name; the image too, if it was the last"],
        ["kiln rmi -f 406b04187394", "an image with all its names"],
        ["kiln rmi $(kiln images -q 'test/*')", "everything under test/"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  await using engine = context.openEngine();
  const { images, refs } = engine.store;
  for (const text of args) {
    const named = referenceOf(text);
    if (named !== undefined && refs.get(named) !== undefined) {
      const digest = refs.get(named)?.target.digest;
      refs.delete(named);
      context.print(`Untagged: ${familiarReference(parseReference(named))}`);
      if (digest === undefined || refs.namesOf(digest).length > 0) continue;
      images.delete(digest);
      context.print(`Deleted: ${digest}`);
      continue;
    }
    try {
      const found = images.find(text);
      const digest = found.kind === "image" ? found.image.manifestDigest : found.digest;
      for (const name of refs.namesOf(digest)) context.print(`Untagged: ${familiarReference(parseReference(name))}`);
      images.delete(digest);
      context.print(`Deleted: ${digest}`);
    } catch (error) {
      const isMissing = error instanceof BuildError && error.code === "image/not-found";
      if (options["force"] !== true || !isMissing) throw error;
    }
  }
}

/** `undefined` for a text that is no image name, as an id with its prefix. */
function referenceOf(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
}
