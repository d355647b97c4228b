import type { ExportProgress } from "./exporter.ts";

/** A line of the export step that says what was done: `naming to docker.io/library/app:latest`. */
export function reportSubtask(progress: ExportProgress, item: string): void {
  progress.sink({
    kind: "status",
    id: progress.stepId,
    item,
    current: 0,
    total: undefined,
    unit: "bytes",
    done: true,
    atMs: progress.nowMs(),
  });
}

/** Counted bytes of the export step, as `pushing layer sha256:...`. */
export function reportBytes(
  progress: ExportProgress,
  at: { readonly item: string; readonly current: number; readonly total: number; readonly done: boolean },
): void {
  progress.sink({ kind: "status", id: progress.stepId, unit: "bytes", atMs: progress.nowMs(), ...at });
}
