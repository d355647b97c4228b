import type { Span } from "../../lib/core/span.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import type { ArgInstruction } from "../instructions/instruction.ts";
import { expandWord } from "../words/expand.ts";

/** A declared build argument and the ARGs it depends on, for the outline. */
export interface ArgFact {
  readonly name: string;
  readonly description: string | undefined;
  /** Value after expansion; `undefined` when it has none. */
  readonly value: string | undefined;
  readonly span: Span;
  /** Other ARGs that the default mentions. */
  readonly needs: ReadonlySet<string>;
}

/** The scope of FROM lines: platform args, then the ARGs above the first FROM. */
export interface GlobalScope {
  readonly values: Map<string, string>;
  readonly facts: ReadonlyMap<string, ArgFact>;
}

/**
 * Evaluates the ARGs above the first FROM. Each ARG sees those before it.
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
  globals: {
    readonly dockerfile: Dockerfile;
    readonly buildArgs: ReadonlyMap<string, string>;
    readonly values: Map<string, string>;
    readonly facts: Map<string, ArgFact>;
  },
): void {
  for (const { name, value: word, description } of arg.declarations) {
    let value = globals.buildArgs.get(name);
    let needs = new Set<string>();
    if (value === undefined && word !== undefined) {
      const expansion = expandWord(word.text, globals.values, {
        escape: globals.dockerfile.directives.escape,
        span: word.span,
      });
      value = expansion.text;
      needs = new Set(expansion.used);
      // `ARG A=$A-more` still depends on what the first A needed.
      if (needs.delete(name)) for (const earlier of globals.facts.get(name)?.needs ?? []) needs.add(earlier);
    }
    if (value !== undefined) globals.values.set(name, value);
    globals.facts.set(name, { name, description, value, span: arg.span, needs });
  }
}
