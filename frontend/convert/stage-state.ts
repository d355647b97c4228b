import type { Digest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { ContainerConfig } from "../../lib/core/oci.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import type { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import { suggest } from "../../lib/core/suggest.ts";
import { type GroupDigests, type Vertex, type VertexMeta, vertex } from "../../solver/graph/vertex.ts";
import type { StageInstruction, Word } from "../instructions/instruction.ts";
import type { Linter, Place } from "../lint/linter.ts";
import { undefinedVar } from "../lint/rules/undefined-var.ts";
import { expandWord } from "../words/expand.ts";
import { nativePath, platformPath } from "./windows-path.ts";
import type { Start } from "./base-image.ts";
import type { BaseImage, HistoryDraft, ImageDraft } from "./conversion.ts";
import { HISTORY_COMMENT } from "./conversion.ts";
import { Environment } from "./environment.ts";
import type { ArgFact, GlobalScope } from "./global-args.ts";
import type { ConvertOptions } from "./options.ts";
import type { Plan, PlannedStage } from "./plan.ts";
import type { TextBudget } from "./text-budget.ts";
import type { Escape } from "../words/escape.ts";

/** What all stages of one conversion share. */
export interface Shared {
  readonly options: ConvertOptions;
  readonly escape: Escape;
  readonly target: Platform;
  readonly scope: GlobalScope;
  readonly plan: Plan;
  readonly linter: Linter;
  readonly meta: Map<Digest, VertexMeta>;
  /** Of the groups of variables that commands have in common. */
  readonly groups: GroupDigests;
  /** Names of the local contexts that something is made of. */
  readonly usedContexts: Set<string>;
  /** Stages that are converted, and images, by what was planned. */
  readonly states: Map<PlannedStage, StageState>;
  /** Characters left to all instructions together. */
  readonly budget: TextBudget;
  /** Seconds, from SOURCE_DATE_EPOCH. */
  readonly epoch: number | undefined;
  /** Of the main context; `undefined` where its ignore file says nothing that can be checked. */
  readonly ignored: PatternMatcher | undefined;
  /** The build context's tree; `undefined` when it is empty. */
  readonly context: Vertex | undefined;
}

/** A stage in the course of conversion: changed instruction by instruction, copied when another stage continues it. */
export interface StageState {
  readonly planned: PlannedStage;
  /** `build`; `undefined` in a file with a single stage. */
  readonly label: string | undefined;
  readonly base: BaseImage | undefined;
  readonly platform: Platform;
  readonly image: ImageDraft;
  tree: Vertex | undefined;
  readonly environment: Environment;
  /** As the image has it: what was written, where that was absolute. Empty stands for `/`. `absolutePath` cleans it. */
  workdir: string;
  /** Variables of the image, name to `NAME=value`, in order of first definition. */
  readonly env: Map<string, string>;
  readonly labels: Map<string, string>;
  readonly ports: Set<string>;
  readonly volumes: Set<string>;
  readonly onbuild: string[];
  /** The rest of the image's configuration. */
  config: Omit<ContainerConfig, "Env" | "Labels" | "ExposedPorts" | "Volumes" | "OnBuild" | "WorkingDir">;
  author: string | undefined;
  readonly history: History;
  /** Whether a WORKDIR of this file set the working directory. */
  hasWorkdir: boolean;
  /** Where CMD, ENTRYPOINT and HEALTHCHECK stood in this stage. */
  readonly seen: Map<"cmd" | "entrypoint" | "healthcheck", Place>;
  /** Steps shown as `i/N`. */
  stepsDone: number;
  stepsTotal: number;
  /** `ONBUILD of base: RUN make` while the instruction at hand is one that came with the base. */
  trigger: string | undefined;
  readonly cache: VertexMeta["cache"];
  readonly args: Map<string, ArgFact>;
  readonly usedArgs: Set<string>;
  readonly secrets: Map<string, { readonly required: boolean; readonly span: Span }>;
  readonly ssh: Map<string, { readonly required: boolean; readonly span: Span }>;
  readonly cacheMounts: Map<string, Span>;
}

/** What the stage below had, and then this one's own entries. Not copied: in a chain of stages that would be quadratic. */
export interface History {
  readonly below: History | undefined;
  readonly entries: HistoryDraft[];
}

/** In the order of the file. */
export function entriesOf(history: History): readonly HistoryDraft[] {
  const stages: (readonly HistoryDraft[])[] = [];
  for (let at: History | undefined = history; at !== undefined; at = at.below) stages.push(at.entries);
  return stages.toReversed().flat();
}

type Fixed = Pick<StageState, "planned" | "label" | "cache" | "stepsTotal">;

/** A stage on top of an image, a context or nothing. */
export function stateOnStart(start: Start, fixed: Fixed): StageState {
  const { Env, Labels, ExposedPorts, Volumes, OnBuild: _triggers, WorkingDir, ...config } = start.image.config;
  const environment = new Environment();
  const env = new Map<string, string>();
  for (const entry of Env ?? []) {
    const equals = entry.indexOf("=");
    const name = equals === -1 ? entry : entry.slice(0, equals);
    env.set(name, entry);
    environment.setEnv(name, equals === -1 ? "" : entry.slice(equals + 1));
  }
  return {
    ...fixed,
    ...blank(),
    base: start.base,
    platform: start.platform,
    image: start.image,
    tree: start.tree,
    environment,
    workdir: WorkingDir === undefined ? "" : platformPath(WorkingDir, start.platform, undefined),
    env,
    labels: new Map(Object.entries(Labels ?? {})),
    ports: new Set(Object.keys(ExposedPorts ?? {})),
    volumes: new Set(Object.keys(Volumes ?? {})),
    onbuild: [],
    config,
    author: start.image.author,
    history: { below: undefined, entries: start.history.map((entry) => ({ kind: "base", entry })) },
    hasWorkdir: false,
  };
}

/** A stage that continues another one of the file: everything is inherited but its triggers. */
export function stateOnStage(base: StageState, fixed: Fixed): StageState {
  const environment = new Environment(base.environment);
  environment.uncover(base.env);
  return {
    ...fixed,
    ...blank(),
    base: base.base,
    platform: base.platform,
    image: base.image,
    tree: base.tree,
    environment,
    workdir: base.workdir,
    env: new Map(base.env),
    labels: new Map(base.labels),
    ports: new Set(base.ports),
    volumes: new Set(base.volumes),
    onbuild: [],
    config: base.config,
    author: base.author,
    history: { below: base.history, entries: [] },
    hasWorkdir: base.hasWorkdir,
  };
}

function blank(): Pick<
  StageState,
  "seen" | "stepsDone" | "trigger" | "args" | "usedArgs" | "secrets" | "ssh" | "cacheMounts"
> {
  return {
    seen: new Map(),
    stepsDone: 0,
    trigger: undefined,
    args: new Map(),
    usedArgs: new Set(),
    secrets: new Map(),
    ssh: new Map(),
    cacheMounts: new Map(),
  };
}

/** Adds a history entry. `made` is what made its layer; metadata has none. */
export function record(state: StageState, createdBy: string, made?: Vertex): void {
  state.history.entries.push({
    kind: "new",
    createdBy,
    comment: HISTORY_COMMENT,
    emptyLayer: made === undefined,
    vertex: made,
  });
}

/** Expands a word of an instruction with the stage's variables, and warns about those nobody has declared. */
export function expandIn(state: StageState, word: Word, instruction: StageInstruction, shared: Shared): string {
  const { text, unset } = expandWord(word.text, state.environment, { escape: shared.escape, span: word.span });
  if (unset.size > 0) reportUnset(state, unset, instruction, shared);
  if (text.length > word.text.length) shared.budget.take(text.length, word.span);
  return text;
}

/** Every name is compared with all that there are: with thousands of both that takes minutes, and nobody reads on. */
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

/** Where a path of the Dockerfile points: relative ones start at the working directory. */
export function absolutePath(state: StageState, path: string): string {
  return cleanPath(path.startsWith("/") ? path : `/${state.workdir}/${path}`);
}

/** Stands for an empty tree where a vertex is needed. */
export function emptyTree(shared: Shared): Vertex {
  const empty = vertex({ kind: "file", base: "scratch", actions: [] }, []);
  if (!shared.meta.has(empty.digest)) {
    const text = { name: "[internal] empty tree", instruction: "empty tree", stage: undefined, span: undefined };
    shared.meta.set(empty.digest, { ...text, cache: "use", argNames: [] });
  }
  return empty;
}

/** The image configuration of a stage as it stands. */
export function imageOf(state: StageState, labels: ReadonlyMap<string, string>): ImageDraft {
  const all = new Map([...state.labels, ...labels]);
  const { author: _author, ...image } = state.image;
  return {
    ...image,
    ...(state.author === undefined ? {} : { author: state.author }),
    config: {
      ...state.config,
      ...(state.ports.size === 0 ? {} : { ExposedPorts: emptyObjects(state.ports) }),
      ...(state.env.size === 0 ? {} : { Env: [...state.env.values()] }),
      ...(state.volumes.size === 0 ? {} : { Volumes: emptyObjects(state.volumes) }),
      ...(state.workdir === "" ? {} : { WorkingDir: nativePath(state.workdir, state.platform) }),
      ...(all.size === 0 ? {} : { Labels: Object.fromEntries([...all].toSorted(byName)) }),
      ...(state.onbuild.length === 0 ? {} : { OnBuild: [...state.onbuild] }),
    },
  };
}

function emptyObjects(names: ReadonlySet<string>): Record<string, Record<string, never>> {
  return Object.fromEntries([...names].toSorted().map((name) => [name, {}]));
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : Number(a > b);
}

/** For an instruction that is well-formed and yet cannot be meant. */
export function instructionError(message: string, span: Span, hint?: string): BuildError {
  return new BuildError("dockerfile/instruction", message, { span, hint });
}
