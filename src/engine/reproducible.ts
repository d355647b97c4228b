import { existsSync } from "node:fs";
import { join } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import type { Conversion } from "../../frontend/convert/conversion.ts";
import { inputsFirst } from "../../solver/graph/order.ts";

/**
 * Refuses a date that has not come yet. Files get their times while the build runs; those would be earlier, and stay.
 * @throws {BuildError} `dockerfile/arg`
 */
export function refuseFuture(conversions: readonly Pick<Conversion, "sourceDateEpoch">[], nowMs: number): void {
  for (const { sourceDateEpoch: epoch = 0 } of conversions) {
    if (epoch * 1000 <= nowMs) continue;
    throw new BuildError(
      "dockerfile/arg",
      `Cannot build reproducibly for ${epoch} seconds since 1970: that is to come`,
      { hint: "set SOURCE_DATE_EPOCH to a date in the past, or the clock of this machine right" },
    );
  }
}

/**
 * Lists warnings about copies of a context as a whole with its `.git`, which no two clones have alike.
 * @param directories the directories of the contexts, by name
 */
export function copiesOfGit(
  conversions: readonly Pick<Conversion, "target">[],
  directories: ReadonlyMap<string, string>,
): readonly string[] {
  const names = new Set<string>();
  for (const { op, inputs } of inputsFirst(conversions.flatMap(({ target }) => target ?? []))) {
    for (const action of op.kind === "file" ? op.actions : []) {
      const from = action.kind === "copy" && isWhole(action) ? inputs[action.input]?.op : undefined;
      if (from?.kind !== "local" || names.has(from.name)) continue;
      const directory = directories.get(from.name) ?? "";
      if (existsSync(join(directory, ".git")) && !new PatternMatcher(from.excludes).matches(".git")) {
        names.add(from.name);
      }
    }
  }
  return [...names].map(
    (name) =>
      `The image has .git of ${name === "context" ? "the context" : `context ${name}`}, which differs from clone to clone: name it in .dockerignore`,
  );
}

function isWhole({ source, excludes }: { readonly source: string; readonly excludes: readonly string[] }): boolean {
  return (source === "." || source === "*") && excludes.length === 0;
}
