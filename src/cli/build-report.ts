import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { BuildResult } from "../build/build.ts";
import { metadataOf } from "../build/metadata.ts";
import { formatWarning } from "../../frontend/lint/linter.ts";
import type { ProgressMode } from "../progress/progress.ts";
import type { CommandContext } from "./context.ts";

/** What is left to say and to write once a build has succeeded. */
export function reportResult(
  context: CommandContext,
  result: BuildResult,
  flags: {
    readonly mode: ProgressMode;
    readonly iidfile: string | undefined;
    readonly metadataFile: string | undefined;
  },
): void {
  const id = result.imageId ?? result.manifest?.digest;
  const path = (file: string): string => resolve(context.host.workingDirectory, file);
  if (flags.iidfile !== undefined && id !== undefined) writeFileSync(path(flags.iidfile), id);
  if (flags.metadataFile !== undefined) {
    const withWarnings = /^(1|true)$/i.test(context.host.env["BUILDX_METADATA_WARNINGS"] ?? "");
    const metadata = metadataOf(result, withWarnings);
    writeFileSync(path(flags.metadataFile), `${JSON.stringify(metadata, undefined, 2)}\n`);
  }
  if (flags.mode === "quiet") {
    if (id !== undefined) context.print(id);
    return;
  }
  if (flags.mode === "rawjson" || flags.mode === "none") return;
  const { warnings } = result;
  if (warnings.length === 0) return;
  context.warn(`\n ${warnings.length} warning${warnings.length === 1 ? "" : "s"} found (use --check for details):`);
  for (const warning of warnings) context.warn(` - ${formatWarning(warning)}`);
}
