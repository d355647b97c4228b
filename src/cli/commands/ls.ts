import type { Command } from "commander";
import { printableLine, printableJson } from "../../../lib/core/printable.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { jsonOrTable } from "../flags/format.ts";
import { table } from "../table.ts";

/** Declares `kiln ls`: lists files of an image, without a container. */
export function lsCommand(program: Command, cli: Cli): void {
  command(program, cli, "ls <image> [path]", run)
    .description("list files of an image")
    .option("-R, --recursive", "directories below as well")
    .option("--format <format>", "table, or json: one object per line", "table")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln ls app /usr/local/bin", "what is in a directory"],
        ["kiln ls -R --format json app | jq .", "everything, for a program"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [name = "", path = "/"] = args;
  const isJson = jsonOrTable(options["format"]);
  const { openImageFiles, listImageFiles } = await import("../../engine/look/image-files.ts");
  const { modeOf, timeOf, typeOf } = await import("../../engine/look/compare-images.ts");
  await using engine = context.openEngine();
  const image = findImage(context, engine.store, name, options);
  await using files = await openImageFiles(engine, image, context.signal);
  const depth = options["recursive"] === true ? "all" : "one";
  const rows = (await listImageFiles(files, path, depth, context.signal)).map(({ path: found, node }) => ({
    path: `/${printableName(found)}`,
    type: typeOf(node),
    mode: modeOf(node),
    uid: node.uid,
    gid: node.gid,
    size: node.isDirectory ? 0 : node.sizeBytes,
    mtime: timeOf(node),
    ...(typeOf(node) === "l" ? { target: printableName(node.linkTarget) } : {}),
    ...deviceOf(node, typeOf(node)),
  }));
  if (isJson) {
    for (const row of rows) context.print(printableJson(row));
    return;
  }
  const cells = rows.map((row) => [
    `${row.type}${row.mode}`,
    `${row.uid}:${row.gid}`,
    row.device ?? String(row.size),
    row.mtime,
    printableLine(row.target === undefined ? row.path : `${row.path} -> ${row.target}`),
  ]);
  if (rows.length > 0) for (const line of table(["MODE", "OWNER", "SIZE", "TIME", "PATH"], cells)) context.print(line);
}

function deviceOf(node: TreeNode, type: string): { readonly device?: string } {
  return type === "c" || type === "b" ? { device: `${node.device.major},${node.device.minor}` } : {};
}
