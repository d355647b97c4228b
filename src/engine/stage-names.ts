import { BuildError } from "../../lib/core/errors.ts";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import type { Dockerfile } from "../../frontend/instructions/dockerfile.ts";
import type { BuildOptions } from "./options.ts";

/**
 * Checks stage names: an unknown stage never skips the cache, and is never expected either.
 * @throws {BuildError} `cli/usage` for --expect-cached, which would then check nothing
 */
export function checkStageNames({ stages }: Dockerfile, options: BuildOptions, progress: ProgressSink): void {
  const names = stages.map((stage) => stage.name ?? String(stage.index));
  const isAbsent = (name: string): boolean => !names.includes(name.toLowerCase());
  if (typeof options.noCache === "object") {
    for (const name of options.noCache.filter(isAbsent)) {
      const message = `--no-cache-filter ${JSON.stringify(name)} has no effect: no stage has that name${didYouMean(name, names)}`;
      progress({ kind: "notice", level: "warning", message, hint: undefined });
    }
  }
  if (typeof options.expectCached !== "object") return;
  const absent = options.expectCached.find(isAbsent);
  if (absent === undefined) return;
  throw new BuildError(
    "cli/usage",
    `Cannot expect stage ${JSON.stringify(absent)} to be cached: no stage has that name${didYouMean(absent, names)}`,
  );
}
