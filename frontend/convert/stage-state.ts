import type { Digest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import type { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import { suggest } from "../../lib/core/suggest.ts";
import { type GroupDigests, type Vertex, type VertexMeta, vertex } from "../../solver/graph/vertex.ts";
import type { StageInstruction, Word } from "../instructions/instruction.ts";
import type { Linter } from "../lint/linter.ts";
import { undefinedVar } from "../lint/rules/undefined-var.ts";
import { expandWord } from "../words/expand.ts";
import type { Start } from "./base-image.ts";
import type { BaseImage, HistoryDraft } from "./conversion.ts";
import { HISTORY_COMMENT } from "./conversion.ts";
import { Environment } from "./environment.ts";
import type { GlobalScope } from "./global-args.ts";
import { type ImageFacts, imageOnStage, imageOnStart, splitVariable } from "./image-facts.ts";
import type { ConvertOptions } from "./options.ts";
import { emptyOutline, type OutlineFacts } from "./outline-facts.ts";
import type { Plan, PlannedStage } from "./plan.ts";
import type { TextBudget } from "./text-budget.ts";
import type { Escape } from "../words/escape.ts";

/** State shared by all stages of one conversion. */
export interface Shared {
  readonly options: ConvertOptions;
  readonly escape: Escape;
  readonly target: Platform;
  readonly scope: GlobalScope;
  readonly plan: Plan;
  readonly linter: Linter;
  readonly meta: Map<Digest, VertexMeta>;
  /** Digests of the groups of variables that commands share. */
  readonly groups: GroupDigests;
  /** Names of the local contexts that some vertex reads. */
  readonly usedContexts: Set<string>;
  /** Converted stages and images, by their planned stage. */
  readonly states: Map<PlannedStage, StageState>;
  /** Characters left for all instructions together. */
  readonly budget: TextBudget;
  /** Seconds, from SOURCE_DATE_EPOCH. */
  readonly epoch: number | undefined;
  /** Ignore patterns of the main context; `undefined` when the ignore file is empty or cannot be checked. */
  readonly ignored: PatternMatcher | undefined;
  /** The build context's tree; `undefined` when it is empty. */
  readonly context: Vertex | undefined;
}

/** A stage during its conversion. Instructions change it; another stage that continues it gets a copy. */
export interface StageState {
  readonly planned: PlannedStage;
  /** `build`; `undefined` in a file with a single stage. */
  readonly label: string | undefined;
  readonly base: BaseImage | undefined;
  readonly platform: Platform;
  tree: Vertex | undefined;
  readonly environment: Environment;
  readonly image: ImageFacts;
  readonly outline: OutlineFacts;
  readonly history: History;
  /** Numerator of the display's `i/N`. */
  stepsDone: number;
  readonly stepsTotal: number;
  /** `ONBUILD of base: RUN make` while a trigger of the base image is converted. */
  trigger: string | undefined;
  readonly cache: VertexMeta["cache"];
}

/**
 * The history of the stage below, then this stage's own entries. Not copied: copying would be quadratic in a chain of
 * stages.
 */
export interface History {
  readonly below: History | undefined;
  readonly entries: HistoryDraft[];
}

/** Lists the entries in the order of the file. */
export function entriesOf(history: History): readonly HistoryDraft[] {
  const stages: (readonly HistoryDraft[])[] = [];
  for (let at: History | undefined = history; at !== undefined; at = at.below) stages.push(at.entries);
  return stages.toReversed().flat();
}

type Fixed = Pick<StageState, "planned" | "label" | "cache" | "stepsTotal">;

/** Makes the state of a stage on top of an image, a context or nothing. */
export function stateOnStart(start: Start, fixed: Fixed): StageState {
  const environment = new Environment();
  for (const entry of start.image.config.Env ?? []) {
    const { name, value } = splitVariable(entry);
    environment.setEnv(name, value);
  }
  return {
    ...fixed,
    base: start.base,
    platform: start.platform,
    tree: start.tree,
    environment,
    image: imageOnStart(start),
    outline: emptyOutline(),
    history: { below: undefined, entries: start.history.map((entry) => ({ kind: "base", entry })) },
    stepsDone: 0,
    trigger: undefined,
  };
}

/** Makes the state of a stage that continues another one of the file. */
export function stateOnStage(below: StageState, fixed: Fixed): StageState {
  const environment = new Environment(below.environment);
  environment.uncover(below.image.env);
  return {
    ...fixed,
    base: below.base,
    platform: below.platform,
    tree: below.tree,
    environment,
    image: imageOnStage(below.image),
    outline: emptyOutline(),
    history: { below: below.history, entries: [] },
    stepsDone: 0,
    trigger: undefined,
  };
}

/** Adds a history entry. `made` is the vertex of its layer; metadata has none. */
export function record(state: StageState, createdBy: string, made?: Vertex): void {
  state.history.entries.push({
    kind: "new",
    createdBy,
    comment: HISTORY_COMMENT,
    emptyLayer: made === undefined,
    vertex: made,
  });
}

/** Expands a word of an instruction with the stage's variables, and warns about undeclared ones. */
export function expandIn(state: StageState, word: Word, instruction: StageInstruction, shared: Shared): string {
  const { text, unset } = expandWord(word.text, state.environment, { escape: shared.escape, span: word.span });
  if (unset.size > 0) reportUnset(state, unset, instruction, shared);
  if (text.length > word.text.length) shared.budget.take(text.length, word.span);
  return text;
}

/**
 * Limit on suggestions: each unknown name is compared with all known names, which takes minutes with thousands of both.
 */
const MAX_SUGGESTIONS = 200;

export function reportUnset(
  state: StageState,
  unset: ReadonlySet<string>,
  instruction: StageInstruction,
  shared: Shared,
): void {
  for (const name of unset) {
    if (state.environment.isDeclared(name)) continue;
    const isEnough = shared.linter.count >= MAX_SUGGESTIONS;
    const similar = isEnough ? undefined : suggest(name, state.environment.names());
    shared.linter.report(undefinedVar, instruction, name, similar);
  }
}

/** Resolves a path of the Dockerfile; relative ones start at the working directory. */
export function absolutePath(state: StageState, path: string): string {
  return cleanPath(path.startsWith("/") ? path : `/${state.image.workdir}/${path}`);
}

/** Makes an empty tree where a vertex is required. */
export function emptyTree(shared: Shared): Vertex {
  const empty = vertex({ kind: "file", base: "scratch", actions: [] }, []);
  if (!shared.meta.has(empty.digest)) {
    const text = { name: "[internal] empty tree", instruction: "empty tree", stage: undefined, span: undefined };
    shared.meta.set(empty.digest, { ...text, cache: "use", argNames: [] });
  }
  return empty;
}

/** Makes the error for an instruction that is well-formed but cannot be meant. */
export function instructionError(message: string, span: Span, hint?: string): BuildError {
  return new BuildError("dockerfile/instruction", message, { span, hint });
}
