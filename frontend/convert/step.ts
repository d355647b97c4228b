import { coverPasswords } from "../../lib/core/credentials.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { type Platform, formatPlatform, normalizePlatform, parsePlatform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import type { Op } from "../../solver/graph/op.ts";
import { type Vertex, vertex } from "../../solver/graph/vertex.ts";
import type { InstructionText } from "../instructions/instruction.ts";
import { expandWord } from "../words/expand.ts";
import type { Shared, StageState } from "./stage-state.ts";
import type { Variables } from "../words/expander.ts";

/** The texts that the display shows for a vertex. */
export interface StepText {
  /** `[build 2/5] RUN make`. */
  readonly name: string;
  /** The instruction without its variables' values: a cache miss finds earlier records of it by this text. */
  readonly instruction: string;
  readonly span: Span | undefined;
}

/**
 * Makes a vertex and records its metadata beside the graph. When two stages ask for the same work, the first one's text
 * stays.
 */
export function addVertex(
  shared: Shared,
  state: StageState,
  made: { readonly op: Op; readonly inputs: readonly Vertex[] },
  text: StepText,
  cache: "use" | "skip" = state.cache,
): Vertex {
  const added = makeVertex(shared, made);
  if (!shared.meta.has(added.digest)) {
    shared.meta.set(added.digest, {
      name: coverPasswords(text.name),
      instruction: coverPasswords(text.instruction),
      span: text.span,
      stage: state.planned.stage?.name ?? String(state.planned.index),
      cache,
      argNames: made.op.kind === "exec" ? state.environment.argNames() : [],
      ...(state.trigger === undefined ? {} : { trigger: state.trigger }),
    });
  }
  return added;
}

/** Makes a vertex for internal work that no instruction asks for by itself. */
export function addInternal(
  shared: Shared,
  made: { readonly op: Op; readonly inputs: readonly Vertex[] },
  what: string,
  span: Span,
): Vertex {
  const added = makeVertex(shared, made);
  if (!shared.meta.has(added.digest)) {
    const name = `[internal] ${what}`;
    shared.meta.set(added.digest, { name, stage: undefined, instruction: what, span, cache: "use", argNames: [] });
  }
  return added;
}

function makeVertex(shared: Shared, { op, inputs }: { readonly op: Op; readonly inputs: readonly Vertex[] }): Vertex {
  for (const input of inputs) if (input.op.kind === "local") shared.usedContexts.add(input.op.name);
  return vertex(op, inputs, shared.groups);
}

/** Counts an instruction and returns its display name: `[linux/arm64 build 2/5] ONBUILD RUN make`. */
export function nextStepName(state: StageState, shared: Shared, text: string): string {
  if (state.stepsTotal === 0) return text;
  state.stepsDone += 1;
  return stepName(state, shared, text);
}

/** Returns the display name with the last counted number, for a second vertex of the same instruction. */
export function stepName(state: StageState, shared: Shared, text: string): string {
  const total = String(state.stepsTotal);
  const done = String(state.stepsDone).padStart(total.length);
  const platform = shared.options.multiPlatform
    ? `${formatPlatform(state.platform, "version")}${crossTarget(state)} `
    : "";
  const stage = state.label === undefined ? "" : `${state.label} `;
  return `[${platform}${stage}${done}/${total}] ${state.trigger === undefined ? "" : "ONBUILD "}${text}`;
}

/** Writes an instruction's line with its keyword in capitals. */
export function instructionText({ original, keyword }: Pick<InstructionText, "original" | "keyword">): string {
  const text = original.trim();
  const capitals = keyword.text.toUpperCase();
  return keyword.text === capitals ? text : capitals + text.slice(keyword.text.length);
}

/**
 * Limit for display names with values: longer ones are shown unexpanded, because each vertex keeps its name and values
 * may be megabytes.
 */
const MAX_SHOWN = 65_536;

/**
 * Does the same as {@link instructionText}, with known variables expanded. In a RUN (`commands`), quotes and unset
 * variables stay, because the shell interprets them.
 */
export function displayText(
  instruction: Pick<InstructionText, "original" | "keyword">,
  variables: Variables,
  shared: Shared,
  form: "words" | "commands" = "words",
): string {
  const text = instructionText(instruction);
  try {
    const quoting = form === "words" ? ({} as const) : ({ quotes: "heredoc", unset: "keep", escapes: "keep" } as const);
    const shown = expandWord(text, variables, { escape: shared.escape, ...quoting }).text;
    return shown.length > MAX_SHOWN ? text : shown;
  } catch (error) {
    // An open quote is not an error here: the words that count are read separately.
    if (error instanceof BuildError) return text;
    throw error;
  }
}

/** Returns `->arm64` when the stage's variables name another target platform than the stage's own. */
function crossTarget({ platform, environment }: StageState): string {
  const target = targetOf(platform, (name) => environment.get(name));
  if (target === undefined) return "";
  if (target.os !== platform.os) return `->${formatPlatform(target, "version")}`;
  if (target.architecture === platform.architecture) return "";
  return `->${target.architecture}${target.variant === undefined ? "" : `/${target.variant}`}`;
}

function targetOf(own: Platform, get: (name: string) => string | undefined): Platform | undefined {
  const whole = get("TARGETPLATFORM");
  if (whole !== undefined) {
    try {
      return parsePlatform(whole, own);
    } catch {
      // An odd TARGETPLATFORM gets no arrow: this is only a display name.
      return undefined;
    }
  }
  const [os, architecture, variant] = [get("TARGETOS"), get("TARGETARCH"), get("TARGETVARIANT")];
  if (os === undefined && architecture === undefined && variant === undefined) return undefined;
  return normalizePlatform({
    os: os || own.os,
    architecture: architecture || own.architecture,
    ...(variant ? { variant } : {}),
  });
}
