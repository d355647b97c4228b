import type { ProgressSink } from "../../lib/core/progress.ts";
import type { Result } from "./exporter.ts";

/** Docker's limit: it refuses to pull or load an image with more. */
const MAX_LAYERS = 125;

/** Warns of images with more layers than engines take. */
export function warnOfManyLayers({ images }: Pick<Result, "images">, progress: ProgressSink): void {
  const most = Math.max(...images.map(({ layers }) => layers.length));
  if (most <= MAX_LAYERS) return;
  progress({
    kind: "notice",
    level: "warning",
    message: `The image has ${most} layers; docker takes at most ${MAX_LAYERS}`,
    hint: "--squash makes one layer of those that the build adds; so does joining RUN lines with && or a heredoc",
  });
}
