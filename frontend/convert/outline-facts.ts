import type { Span } from "../../lib/core/span.ts";
import type { Outline } from "./conversion.ts";
import type { ArgFact, GlobalScope } from "./global-args.ts";
import type { Plan, PlannedStage } from "./plan.ts";

/** The inputs that a stage asks for, as its instructions name them. */
export interface OutlineFacts {
  readonly args: Map<string, ArgFact>;
  readonly usedArgs: Set<string>;
  readonly secrets: Map<string, { readonly required: boolean; readonly span: Span }>;
  readonly ssh: Map<string, { readonly required: boolean; readonly span: Span }>;
  readonly cacheMounts: Map<string, Span>;
}

export function emptyOutline(): OutlineFacts {
  return { args: new Map(), usedArgs: new Set(), secrets: new Map(), ssh: new Map(), cacheMounts: new Map() };
}

/** The stages of a file that were converted, by their planned stage. */
interface ConvertedStages {
  readonly plan: Plan;
  readonly scope: GlobalScope;
  readonly states: ReadonlyMap<PlannedStage, { readonly planned: PlannedStage; readonly outline: OutlineFacts }>;
}

/** Collects the inputs of a stage and the stages it needs: ARGs that count, secrets, SSH agents, cache mounts. */
export function outlineOf(target: PlannedStage, { plan, scope, states }: ConvertedStages): Outline {
  const needed = [...plan.reachable(target)].flatMap((planned) => states.get(planned) ?? []);
  // The target comes first, so that an ARG is described by the declaration nearest to it.
  const ordered = needed.toSorted((a, b) => b.planned.index - a.planned.index).map(({ outline }) => outline);
  return {
    name: target.stage?.name,
    description: target.stage?.from.description,
    args: byPlace(firstOf(ordered.flatMap((facts) => argsOf(facts, scope)))),
    secrets: byPlace(firstOf(ordered.flatMap((facts) => named(facts.secrets)))),
    ssh: byPlace(firstOf(ordered.flatMap((facts) => named(facts.ssh)))),
    cacheMounts: byPlace(
      firstOf(ordered.flatMap((facts) => Array.from(facts.cacheMounts, ([name, span]) => ({ name, span })))),
    ).map(({ name, span }) => ({ id: name, span })),
  };
}

function argsOf(facts: OutlineFacts, scope: GlobalScope): Outline["args"] {
  const used = new Set<string>();
  const waiting = [...facts.usedArgs];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (used.has(name)) continue;
    used.add(name);
    waiting.push(...(scope.facts.get(name)?.needs ?? []));
  }
  return [...used].flatMap((name) => {
    const fact = facts.args.get(name) ?? scope.facts.get(name);
    if (fact === undefined) return [];
    return [{ name, description: fact.description, value: fact.value, span: fact.span }];
  });
}

function named<Fact extends { readonly span: Outline["args"][number]["span"] }>(
  facts: ReadonlyMap<string, Fact>,
): ({ readonly name: string } & Fact)[] {
  return Array.from(facts, ([name, fact]) => ({ name, ...fact }));
}

function firstOf<Item extends { readonly name: string }>(items: readonly Item[]): Item[] {
  const seen = new Set<string>();
  return items.filter(({ name }) => !seen.has(name) && seen.add(name));
}

function byPlace<Item extends { readonly span: Outline["args"][number]["span"] }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.span.start.offset - b.span.start.offset);
}
