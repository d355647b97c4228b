import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printable } from "../../../lib/core/printable.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { VERSION } from "../../../lib/core/version.ts";

const FORMATS = { spdx: "spdx", "spdx-json": "spdx", cyclonedx: "cyclonedx", "cyclonedx-json": "cyclonedx" } as const;

/** Declares `kiln sbom`: lists the packages of an image as SPDX or CycloneDX. */
export function sbomCommand(program: Command, cli: Cli): void {
  command(program, cli, "sbom <image>", run)
    .description("list the packages in an image: an SBOM as SPDX or CycloneDX")
    .option("--format <format>", "spdx (2.3, JSON) or cyclonedx (1.6, JSON)", "spdx")
    .option("-o, --output <file>", "write to a file instead of standard output")
    .option("--platform <os/arch>", "which of several platforms")
    .addHelpText(
      "after",
      examples([
        ["kiln sbom -o app.spdx.json app", "into a file"],
        ["kiln sbom --format cyclonedx app | jq -r '.components[].purl'", "the packages alone"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const [name = ""] = args;
  const format = formatOf(options["format"]);
  const { openImageFiles } = await import("../../engine/look/image-files.ts");
  const { scanImage } = await import("../../engine/sbom/scan-image.ts");
  const { billTime } = await import("../../engine/sbom/bill.ts");
  const { billText } = await import("../../engine/sbom/write-bill.ts");
  await using engine = context.openEngine();
  const image = findImage(context, engine.store, name, options);
  await using files = await openImageFiles(engine, image, context.signal);
  const { config, configDigest } = image;
  const inventory = await scanImage(files, context.environment, context.signal);
  for (const warning of inventory.warnings) context.warn(`WARNING: ${printable(warning)}`);
  const bill = {
    inventory,
    name: configDigest.startsWith(`sha256:${name}`) || configDigest === name ? configDigest : name,
    digest: configDigest,
    created: billTime(config.created),
    toolVersion: VERSION,
  };
  const text = billText(bill, format);
  const path = options["output"];
  if (typeof path === "string" && path !== "" && path !== "-") {
    const { openDestination } = await import("../../engine/images/outputs.ts");
    const destination = await openDestination(path, context.environment)(context.signal);
    await pipeline(Readable.from(text, { objectMode: false }), destination, { signal: context.signal });
    return;
  }
  for (const piece of text) {
    context.signal.throwIfAborted();
    context.host.stdout.write(piece);
  }
}

function formatOf(text: unknown): "spdx" | "cyclonedx" {
  const found = Object.entries(FORMATS).find(([name]) => name === text)?.[1];
  if (found !== undefined) return found;
  throw new BuildError("cli/usage", `Cannot use --format ${JSON.stringify(text)}`, { hint: "it is spdx or cyclonedx" });
}
