import { printable } from "../../lib/core/printable.ts";
import type { BuildResult } from "../engine/build-result.ts";
import { metadataOf } from "../engine/metadata.ts";
import { formatWarning } from "../../frontend/lint/linter.ts";
import type { ProgressMode } from "../progress/progress.ts";
import type { CommandContext } from "./context.ts";
import { type ResultFiles, writeResultFile } from "./result-files.ts";

/** Reports and writes the results of a successful build. */
export async function reportResult(
  context: CommandContext,
  result: BuildResult,
  flags: ResultFiles & { readonly mode: ProgressMode },
): Promise<void> {
  const id = result.imageId ?? result.manifest?.digest;
  if (flags.iidfile !== undefined && id !== undefined) await writeResultFile(context, "--iidfile", flags.iidfile, id);
  if (flags.iidfile !== undefined && id === undefined) {
    context.warn("WARNING: --iidfile is not written: no output of this build is an image");
  }
  if (flags.metadataFile !== undefined) {
    const withWarnings = /^(1|true)$/i.test(context.host.env["BUILDX_METADATA_WARNINGS"] ?? "");
    const metadata = metadataOf(result, withWarnings);
    const text = `${JSON.stringify(metadata, undefined, 2)}\n`;
    await writeResultFile(context, "--metadata-file", flags.metadataFile, text);
  }
  if (flags.mode === "quiet") {
    if (id !== undefined) context.print(id);
    return;
  }
  // Programs were told of each finding as an event.
  if (flags.mode === "rawjson" || flags.mode === "events" || flags.mode === "none") return;
  const { warnings } = result;
  if (warnings.length === 0) return;
  context.warn(`\n ${warnings.length} warning${warnings.length === 1 ? "" : "s"} found (use --check for details):`);
  for (const warning of warnings) context.warn(` - ${printable(formatWarning(warning))}`);
}
