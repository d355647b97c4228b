import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Cli, command, examples } from "../command.ts";
import { type CommandContext, refuseTerminalOutput } from "../context.ts";
import { findImage } from "../find-image.ts";

/** Declares `kiln cp`: copies files out of an image, without a container. */
export function cpCommand(program: Command, cli: Cli): void {
  command(program, cli, "cp <image:path> <target>", run)
    .description("copy files out of an image")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln cp app:/usr/bin/tool .", "into a directory that exists"],
        ["kiln cp app:/etc/app/. conf", "a directory's content"],
        ["kiln cp app:/srv - | tar t", "as a tar, with owners"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [from = "", to = ""] = args;
  const { image: name, path } = splitSource(from);
  if (to === "-") refuseTerminalOutput(context, "kiln cp IMAGE:PATH - | tar x, or a directory");
  const { copyOut } = await import("../../engine/look/copy-out.ts");
  await using engine = context.openEngine();
  const image = findImage(context, engine.store, name, options);
  const target =
    to === "-"
      ? ({ kind: "tar", stream: context.host.stdout } as const)
      : ({ kind: "path", path: resolve(context.host.workingDirectory, to) + (to.endsWith("/") ? "/" : "") } as const);
  await copyOut(engine, image, { source: path, target }, context.signal);
}

/** Splits `registry:5000/app:1:/etc` at the colon before the path, which begins with a slash. */
function splitSource(text: string): { readonly image: string; readonly path: string } {
  const colon = text.indexOf(":/");
  if (colon > 0) return { image: text.slice(0, colon), path: text.slice(colon + 1) };
  throw new BuildError("cli/usage", `Cannot copy ${JSON.stringify(text)}: it names no path of an image`, {
    hint: "write IMAGE:/PATH; kiln has no containers to copy into",
  });
}
