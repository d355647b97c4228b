import { mkdir, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { formatPlatform } from "../../../lib/core/platform.ts";
import { VERSION } from "../../../lib/core/version.ts";
import { type Examination, EXAMINATION_FILE } from "../../../solver/remote/examination.ts";
import type { BuildEnvironment } from "../environment.ts";
import { machineReport } from "../machine-report.ts";

/** Tries what this worker's machine can do for steps, in the store that they would have, and leaves the report in `folder`. */
export async function examineWorker(
  environment: BuildEnvironment,
  { folder, hasSharedStore }: { readonly folder: string; readonly hasSharedStore: boolean },
  signal: AbortSignal,
): Promise<void> {
  const examination: Examination = {
    version: 1,
    kiln: VERSION,
    platform: formatPlatform(environment.platform),
    kernel: release(),
    processors: environment.processors,
    hasSharedStore,
    report: await machineReport(environment, signal),
  };
  const path = join(folder, EXAMINATION_FILE);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, JSON.stringify(examination));
}
