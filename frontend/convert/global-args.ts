import type { Span } from "../../lib/core/span.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import type { ArgInstruction } from "../instructions/instruction.ts";
import { expandWord } from "../words/expand.ts";

/** A declared build argument, with what it depends on: for the outline. */
export interface ArgFact {
  readonly name: string;
  readonly description: string | undefined;
  /** After expansion; `undefined` when it has none. */
  readonly value: string | undefined;
  readonly span: Span;
  /** Other ARGs that its default mentions. */
  readonly needs: ReadonlySet<string>;
}

/** The scope of FROM lines: platform args, then the ARGs above the first FROM. */
export interface GlobalScope {
  readonly values: Map<string, string>;
  readonly facts: ReadonlyMap<string, ArgFact>;
}

/**
 * Evaluates the ARGs above the first FROM; each sees those before it.
 * @throws {BuildError} `dockerfile/expansion`
 */
export function evaluateGlobalArgs(
  dockerfile: Dockerfile,
  predefined: ReadonlyMap<string, string>,
  buildArgs: ReadonlyMap<string, string>,
): GlobalScope {
  const values = new Map(predefined);
  for (const name of predefined.keys()) {
    const given = buildArgs.get(name);
    if (given !== undefined) values.set(name, given);
  }
  const facts = new Map<string, ArgFact>();
  for (const arg of dockerfile.globalArgs) declare(arg, { dockerfile, buildArgs, values, facts });
  return { values, facts };
}

function declare(
  arg: ArgInstruction,
  at: {
    readonly dockerfile: Dockerfile;
    readonly buildArgs: ReadonlyMap<string, string>;
    readonly values: Map<string, string>;
    readonly facts: Map<string, ArgFact>;
  },
): void {
  for (const { name, value: word, description } of arg.declarations) {
    let value = at.buildArgs.get(name);
    let needs = new Set<string>();
    if (value === undefined && word !== undefined) {
      const expansion = expandWord(word.text, at.values, { escape: at.dockerfile.directives.escape, span: word.span });
      value = expansion.text;
      needs = new Set(expansion.used);
      // `ARG A=$A-more` goes on needing what the first A needed.
      if (needs.delete(name)) for (const earlier of at.facts.get(name)?.needs ?? []) needs.add(earlier);
    }
    if (value !== undefined) at.values.set(name, value);
    at.facts.set(name, { name, description, value, span: arg.span, needs });
  }
}
