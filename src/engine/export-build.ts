import type { Exported } from "../export/exporter.ts";
import { withAttestations } from "./attest/attested-result.ts";
import type { PartsOf } from "./build-parts.ts";
import { type CacheExportParts, exportCaches } from "./caches/cache-export.ts";
import { withInlineCaches } from "./caches/inline-cache.ts";
import { type ExporterParts, exporterFor } from "./images/outputs.ts";
import { shownStep } from "./shown-step.ts";
import type { LayerWork, SolvedBuild } from "./solve-build.ts";

type ExportParts = CacheExportParts & PartsOf<"outputs" | "reporter", keyof ExporterParts>;

/**
 * Writes the result to every output, and then the results of the steps to the caches.
 * @returns one entry per output that made an image or files
 */
export async function exportBuild(
  solved: SolvedBuild,
  parts: ExportParts,
  { packer, early }: LayerWork,
  signal: AbortSignal,
): Promise<readonly Exported[]> {
  const { engine, progress } = parts;
  const clock = engine.environment;
  const attested = await withAttestations(solved, parts, signal);
  const exported: Exported[] = [];
  for (const output of await withInlineCaches(solved, parts, packer, signal)) {
    const exporter = exporterFor(output, engine);
    if (exporter === undefined) continue;
    const { description } = exporter;
    const result = attested(output);
    const display = { stepId: description, sink: progress, nowMs: () => clock.nowMs() };
    const work = async (): Promise<Exported> => {
      if (output.kind === "image" && output.push) await early?.settled();
      return exporter.export(result, display, signal);
    };
    exported.push(await shownStep(description, { progress, clock }, work));
  }
  await exportCaches(solved, parts, packer, signal);
  return exported;
}
