import type { Exported } from "../export/exporter.ts";
import { withAttestations } from "./attest/attested-result.ts";
import type { PartsOf } from "./build-parts.ts";
import { type CacheExportParts, exportCaches } from "./caches/cache-export.ts";
import { withInlineCaches } from "./caches/inline-cache.ts";
import { type ExporterParts, exporterFor } from "./images/outputs.ts";
import { madeOutput } from "./made-output.ts";
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
  const described: string[] = [];
  for (const output of await withInlineCaches(solved, parts, packer, signal)) {
    const exporter = exporterFor(output, engine);
    if (exporter === undefined) continue;
    const { description } = exporter;
    const result = attested(output);
    // Two outputs may have one description.
    const same = described.filter((one) => one === description).length;
    described.push(description);
    const id = same === 0 ? description : `${description} (${same + 1})`;
    const display = { stepId: id, sink: progress, nowMs: () => clock.nowMs() };
    const work = async (): Promise<Exported> => {
      if (output.kind === "image" && output.push) await early?.settled();
      return exporter.export(result, display, signal);
    };
    const made = await shownStep(description, { progress, clock, id }, work);
    exported.push(made);
    progress({ kind: "output", id, output: madeOutput(output, made, result, engine.store), atMs: clock.nowMs() });
  }
  await exportCaches(solved, parts, packer, signal);
  return exported;
}
