import { BuildError } from "../../lib/core/errors.ts";
import { compileGoPattern, hasWildcards } from "../../lib/core/patterns/go-match.ts";
import type { CopyAction, LocalOp } from "../graph/op.ts";
import type { Vertex, VertexMeta } from "../graph/vertex.ts";
import type { DigestedSelection } from "../select/digest-selection.ts";
import type { InputUse } from "./uses.ts";

/** The part of a client's directory that one instruction uses. */
export interface LocalUse {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  readonly use: InputUse & { readonly kind: "copy" | "path" };
  readonly input: LocalOp;
  readonly named: DigestedSelection;
}

/**
 * Refuses patterns that match nothing. BuildKit receives only the files that some instruction uses, so a directory
 * without used files does not exist for it: a pattern in that directory fails its build. At the root a pattern may
 * match nothing, which is how optional files are copied; an instruction that then copies nothing at all gets a warning.
 * @throws {BuildError} `solver/not-found`
 */
export function refuseEmptyPatterns(
  uses: readonly LocalUse[],
  deps: {
    readonly wholeContexts: ReadonlySet<string>;
    warn(meta: VertexMeta, message: string): void;
  },
): void {
  for (const { vertex, meta, use, input, named } of uses) {
    if (use.kind !== "copy" || !named.isEmpty || use.action.excludes.length > 0) continue;
    const { source } = use.action;
    const names = namesOf(source);
    const below = names.slice(0, names.findIndex(hasWildcards));
    if (below.length === 0 || deps.wholeContexts.has(input.name)) {
      const all = uses.filter((other) => other.vertex === vertex);
      const hasOthers = all.some((other) => !other.named.isEmpty) || all.length < copies(vertex);
      if (!hasOthers && all[0]?.use === use)
        deps.warn(meta, `${meta.instruction}: nothing in the context matches, so nothing is copied`);
      continue;
    }
    if (uses.some((other) => other.input === input && !other.named.isEmpty && reaches(other.use, below))) continue;
    throw new BuildError(
      "solver/not-found",
      `Cannot copy ${JSON.stringify(source)}: nothing in ${JSON.stringify(below.join("/"))} matches`,
      {
        span: meta.span,
        hint: "a pattern may match nothing only at the root of the context, or where another instruction takes something out of that directory",
      },
    );
  }
}

/** Counts an instruction's copies from any source. */
function copies({ op }: Vertex): number {
  return op.kind === "file" ? op.actions.length : 0;
}

/** Tells whether the used path lies in the directory, is the directory, or contains it. */
function reaches(use: LocalUse["use"], directory: readonly string[]): boolean {
  const names = namesOf(use.kind === "copy" ? use.action.source : use.source);
  const isPattern = use.kind === "copy" && (use.action.wildcard || use.action.parents);
  for (const [at, name] of names.entries()) {
    const wanted = directory[at];
    if (wanted === undefined || (isPattern && name.includes("**"))) return true;
    if (isPattern && hasWildcards(name) ? !compileGoPattern(name)(wanted) : name !== wanted) return false;
  }
  return true;
}

function namesOf(source: CopyAction["source"]): readonly string[] {
  return source.split("/").filter((name) => name !== "" && name !== ".");
}
