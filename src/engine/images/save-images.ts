import { exportLayout } from "../../export/layout-exporter.ts";
import { DEFAULT_IMAGE_OPTIONS } from "../../export/output-spec.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import type { ProgressSink } from "../../../lib/core/progress.ts";
import { shownStep } from "../shown-step.ts";
import { storedResult } from "./export-stored.ts";
import { type ExporterParts, openDestination } from "./outputs.ts";

/** Writes images of the store into one archive, uncompressed. Layers that they share are in it once. */
export async function saveImages(
  engine: ExporterParts,
  request: {
    readonly images: readonly string[];
    readonly kind: "docker" | "oci";
    readonly platform: Platform | undefined;
    /** `-` is standard output. */
    readonly destination: string;
    readonly progress: ProgressSink;
  },
  signal: AbortSignal,
): Promise<void> {
  const { images, kind, platform, destination, progress } = request;
  const { environment, store, layers } = engine;
  const results = images.map((image) => storedResult(store, { image, platform, progress }));
  const options = { ...DEFAULT_IMAGE_OPTIONS, compression: "uncompressed" } as const;
  const to = { form: "tar", open: openDestination(destination, environment) } as const;
  const description = `exporting to ${kind} image format`;
  const display = { stepId: description, sink: progress, nowMs: () => environment.nowMs() };
  await shownStep(description, { progress, clock: environment }, () =>
    exportLayout(results, { kind, destination: to, options }, layers, display, signal),
  );
}
