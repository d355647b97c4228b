import { BuildError } from "../../lib/core/errors.ts";
import { compileGoPattern, hasWildcards } from "../../lib/core/patterns/go-match.ts";
import type { CopyAction, LocalOp } from "../graph/op.ts";
import type { Vertex, VertexMeta } from "../graph/vertex.ts";
import type { NamedSelection } from "../select/name-selection.ts";
import type { InputUse } from "./uses.ts";

/** The part of a client's directory that one instruction takes. */
export interface LocalUse {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  readonly use: InputUse & { readonly kind: "copy" | "path" };
  readonly input: LocalOp;
  readonly named: NamedSelection;
}

/**
 * Looks at patterns that match nothing. BuildKit is sent only what some instruction takes, so a directory out of which nothing is
 * taken is not there for it: a pattern in that directory fails its build. At the root it may match nothing, which is how optional
 * files are copied; an instruction that then copies nothing at all is told of.
 * @throws {BuildError} `solver/not-found`
 */
export function refuseEmptyPatterns(
  uses: readonly LocalUse[],
  on: {
    readonly wholeContexts: ReadonlySet<string>;
    warn(meta: VertexMeta, message: string): void;
  },
): void {
  for (const { vertex, meta, use, input, named } of uses) {
    if (use.kind !== "copy" || !named.isEmpty || use.action.excludes.length > 0) continue;
    const { source } = use.action;
    const names = namesOf(source);
    const below = names.slice(0, names.findIndex(hasWildcards));
    if (below.length === 0 || on.wholeContexts.has(input.name)) {
      const all = uses.filter((other) => other.vertex === vertex);
      const hasOthers = all.some((other) => !other.named.isEmpty) || all.length < copies(vertex);
      if (!hasOthers && all[0]?.use === use)
        on.warn(meta, `${meta.instruction}: nothing in the context matches, so nothing is copied`);
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

/** Copies of an instruction from anywhere. */
function copies({ op }: Vertex): number {
  return op.kind === "file" ? op.actions.length : 0;
}

/** Whether what is taken lies in the directory, is the directory, or holds it. */
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
