import type { Outline } from "./conversion.ts";
import type { PlannedStage } from "./plan.ts";
import type { Shared, StageState } from "./stage-state.ts";

/** Collects the inputs of a stage and the stages it needs: ARGs that count, secrets, SSH agents, cache mounts. */
export function outlineOf(target: PlannedStage, shared: Shared): Outline {
  const states = [...shared.plan.reachable(target)].flatMap((planned) => shared.states.get(planned) ?? []);
  // The target comes first, so that an ARG is described by the declaration nearest to it.
  const ordered = states.toSorted((a, b) => b.planned.index - a.planned.index);
  return {
    name: target.stage?.name,
    description: target.stage?.from.description,
    args: byPlace(firstOf(ordered.flatMap((state) => argsOf(state, shared)))),
    secrets: byPlace(firstOf(ordered.flatMap((state) => named(state.secrets)))),
    ssh: byPlace(firstOf(ordered.flatMap((state) => named(state.ssh)))),
    cacheMounts: byPlace(
      firstOf(ordered.flatMap((state) => Array.from(state.cacheMounts, ([name, span]) => ({ name, span })))),
    ).map(({ name, span }) => ({ id: name, span })),
  };
}

function argsOf(state: StageState, shared: Shared): Outline["args"] {
  const used = new Set<string>();
  const waiting = [...state.usedArgs];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (used.has(name)) continue;
    used.add(name);
    waiting.push(...(shared.scope.facts.get(name)?.needs ?? []));
  }
  return [...used].flatMap((name) => {
    const fact = state.args.get(name) ?? shared.scope.facts.get(name);
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
