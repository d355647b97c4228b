import type { ExportProgress } from "./exporter.ts";

/** Reports a finished action of the export: `naming to docker.io/library/app:latest`. */
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

/** Reports counted bytes of the export, as `pushing layer sha256:...`. */
export function reportBytes(
  progress: ExportProgress,
  status: { readonly item: string; readonly current: number; readonly total: number; readonly done: boolean },
): void {
  progress.sink({ kind: "status", id: progress.stepId, unit: "bytes", atMs: progress.nowMs(), ...status });
}
