import type { Digest } from "../../src/core/digest.ts";
import { BuildError } from "../../src/core/errors.ts";
import { mapLimit } from "../../src/core/limits.ts";
import { PatternMatcher } from "../../src/core/patterns/pattern-matcher.ts";
import { type Platform, normalizePlatform } from "../../src/core/platform.ts";
import { parseReference } from "../../src/core/reference.ts";
import { SourceText } from "../../src/core/span.ts";
import type { VertexMeta } from "../../solver/graph/vertex.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import type { StageInstruction } from "../instructions/instruction.ts";
import { DEFAULT_CHECKS, parseCheckConfig } from "../lint/check-config.ts";
import { checkFile } from "../lint/file-checks.ts";
import { Linter } from "../lint/linter.ts";
import { invalidDefaultArgInFrom } from "../lint/rules/invalid-default-arg-in-from.ts";
import { parseOnbuildTrigger } from "../parse.ts";
import { expandWord } from "../words/expand.ts";
import { type Start, resolveStart } from "./base-image.ts";
import type { Conversion, ImageDraft } from "./conversion.ts";
import { resolveEpoch } from "./epoch.ts";
import { type GlobalScope, evaluateGlobalArgs } from "./global-args.ts";
import type { ConvertOptions } from "./options.ts";
import { outlineOf } from "./outline-facts.ts";
import { Plan, type PlannedStage } from "./plan.ts";
import { platformArgs } from "./platform-args.ts";
import type { ContextSource, Resolver } from "./resolver.ts";
import { sourceVertex } from "./sources.ts";
import { asRoot } from "./root-tree.ts";
import { convertInstruction } from "./stage.ts";
import { type Shared, type StageState, entriesOf, imageOf, stateOnStage, stateOnStart } from "./stage-state.ts";
import { nextStepName } from "./step.ts";

/** Base images and named contexts asked for at the same time. */
const MAX_LOOKUPS = 8;

/**
 * Turns a parsed Dockerfile into a build graph and the image around it, for one platform. Only stages that the target needs
 * are looked at closely, and only their images are asked for. Pure but for the resolver.
 * @throws {BuildError} with the place in the Dockerfile
 */
export async function convertDockerfile(
  dockerfile: Dockerfile,
  options: ConvertOptions,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<Conversion> {
  const linter = new Linter(checksOf(dockerfile, options));
  const conversion = await convertChecked(dockerfile, { options, resolver, linter }, signal);
  linter.failIfAsked();
  return conversion;
}

/** As {@link convertDockerfile}, with a linter that keeps its findings even when the conversion fails. */
export async function convertChecked(
  dockerfile: Dockerfile,
  given: { readonly options: ConvertOptions; readonly resolver: Resolver; readonly linter: Linter },
  signal: AbortSignal,
): Promise<Conversion> {
  const { resolver, linter } = given;
  checkFile(dockerfile, linter);
  const target = given.options.targetPlatform ?? given.options.buildPlatform;
  const targetStage = given.options.target ?? dockerfile.stages.at(-1)?.name;
  const predefined = platformArgs({ build: given.options.buildPlatform, target, targetStage });
  checkDefaultBases(dockerfile, evaluateGlobalArgs(dockerfile, predefined, new Map()), linter);
  const evaluated = evaluateGlobalArgs(dockerfile, predefined, given.options.buildArgs);
  const dated = await resolveEpoch(dockerfile, { scope: evaluated, options: given.options, resolver, target }, signal);
  const { scope, epoch } = dated;
  const options = { ...given.options, buildArgs: dated.buildArgs };
  const plan = new Plan(dockerfile, scope, { linter, host: options.buildPlatform });
  const wanted = plan.target(options.target);
  const { starts, triggers } = await resolveStarts(plan, wanted, { options, resolver, linter, target }, signal);
  const shared: Shared = {
    options,
    escape: dockerfile.directives.escape,
    target,
    scope,
    plan,
    linter,
    meta: new Map<Digest, VertexMeta>(),
    states: new Map(),
    epoch,
    groups: new Map(),
    usedContexts: new Set(),
    ignored: ignoreMatcher(options.context),
    context: sourceVertex(options.context, target),
  };
  const needed = neededStages(plan, wanted, options);
  for (const planned of plan.stages) {
    if (planned.stage === undefined && needed.has(planned)) convertStage(planned, shared, starts, triggers);
  }
  for (const planned of plan.stages) {
    if (planned.stage !== undefined && needed.has(planned)) convertStage(planned, shared, starts, triggers);
  }
  const state = shared.states.get(wanted);
  if (state === undefined) throw new Error(`The target stage ${wanted.label} was not converted`);
  const usedContexts = [...shared.usedContexts].toSorted();
  if (usedContexts.length > 0) nameContext(shared);
  return {
    target: asRoot(state.tree, state, shared),
    meta: shared.meta,
    image: finalImage(imageOf(state, options.labels), options.targetPlatform),
    history: entriesOf(state.history),
    base: state.base,
    platform: state.platform,
    targetStage: state.label,
    stageNames: dockerfile.stages.map((stage) => stage.name ?? `stage-${stage.index}`),
    usedContexts,
    sourceDateEpoch: epoch,
    warnings: linter.warnings,
    get outline() {
      return outlineOf(wanted, shared);
    },
  };
}

/** What holds for the whole file: the build arg before the directive. */
export function checksOf(dockerfile: Dockerfile, options: ConvertOptions): ReturnType<typeof parseCheckConfig> {
  const given = options.buildArgs.get("BUILDKIT_DOCKERFILE_CHECK");
  if (given !== undefined) return parseCheckConfig(given, undefined);
  const { check } = dockerfile.directives;
  // The value ends at the first blank, as with BuildKit.
  return check === undefined ? DEFAULT_CHECKS : parseCheckConfig(check.value.split(/\s/, 1)[0] ?? "", check.span);
}

/** A file should make sense without any --build-arg. */
function checkDefaultBases(dockerfile: Dockerfile, scope: GlobalScope, linter: Linter): void {
  for (const { from } of dockerfile.stages) {
    try {
      const { text } = expandWord(from.base.text, scope.values, { escape: dockerfile.directives.escape });
      parseReference(text);
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      if (error.code !== "reference/malformed") return;
      linter.report(invalidDefaultArgInFrom, from, from.base.text);
    }
  }
}

function neededStages(plan: Plan, wanted: PlannedStage, options: ConvertOptions): ReadonlySet<PlannedStage> {
  return options.stages === "all" ? new Set(plan.stages) : plan.reachable(wanted);
}

/** Triggers of base images, parsed, in the order they run. */
type Triggers = ReadonlyMap<PlannedStage, readonly StageInstruction[]>;

/** Asks for all bases at once; again for what their triggers turn out to need. */
async function resolveStarts(
  plan: Plan,
  wanted: PlannedStage,
  on: {
    readonly options: ConvertOptions;
    readonly resolver: Resolver;
    readonly linter: Linter;
    readonly target: Platform;
  },
  signal: AbortSignal,
): Promise<{ readonly starts: ReadonlyMap<PlannedStage, Start>; readonly triggers: Triggers }> {
  const starts = new Map<PlannedStage, Start>();
  const triggers = new Map<PlannedStage, readonly StageInstruction[]>();
  const startOptions = {
    target: on.target,
    runnable: on.options.targetPlatform === undefined ? on.options.runnablePlatforms : undefined,
    linter: on.linter,
    stageNames: plan.stages.flatMap((planned) => planned.stage?.name ?? []),
  };
  for (;;) {
    const needed = [...neededStages(plan, wanted, on.options)];
    const missing = needed.filter((planned) => planned.base === undefined && !starts.has(planned));
    const found = await mapLimit(missing, MAX_LOOKUPS, signal, (planned, inner) =>
      resolveStart(planned, on.resolver, startOptions, inner),
    );
    for (const [index, planned] of missing.entries()) {
      const start = found[index];
      if (start !== undefined) starts.set(planned, start);
    }
    const isGrown = needed
      .filter((planned) => planned.stage !== undefined && !triggers.has(planned))
      .map((planned) => {
        const instructions = triggersOf(planned, starts.get(planned)).map((text) => readTrigger(text, planned));
        triggers.set(planned, instructions);
        return instructions.map((instruction) => plan.connect(planned, instruction)).some(Boolean);
      });
    if (!isGrown.some(Boolean)) return { starts, triggers };
  }
}

/** Of the image below, or of the stage below: the triggers a stage inherits from its own base are used up there. */
function triggersOf(planned: PlannedStage, start: Start | undefined): readonly string[] {
  if (planned.base === undefined) return start?.extent === "start" ? (start.image.config.OnBuild ?? []) : [];
  const instructions = planned.base.stage?.instructions ?? [];
  return instructions.flatMap((instruction) => (instruction.kind === "onbuild" ? [instruction.trigger] : []));
}

/** Its words point into the trigger's own text, for errors; as a whole it stands for the FROM that brought it. */
function readTrigger(text: string, planned: PlannedStage): StageInstruction {
  const instruction = parseOnbuildTrigger(new SourceText(`ONBUILD of ${planned.baseText}`, text));
  return { ...instruction, span: planned.stage?.from.span ?? planned.span };
}

const STEPS = new Set(["run", "copy", "add", "workdir"]);

function convertStage(
  planned: PlannedStage,
  shared: Shared,
  starts: ReadonlyMap<PlannedStage, Start>,
  triggers: Triggers,
): void {
  const inherited = triggers.get(planned) ?? [];
  const own = planned.stage?.instructions ?? [];
  const isImage = planned.base === undefined && planned.baseText !== "scratch";
  const steps = own.filter((instruction) => STEPS.has(instruction.kind)).length;
  const fixed = {
    planned,
    label: shared.plan.stages.length === 1 ? undefined : planned.label,
    cache: isUncached(planned, shared.options) ? ("skip" as const) : ("use" as const),
    stepsTotal: planned.stage === undefined ? 0 : steps + (isImage ? 1 : 0) + inherited.length,
  };
  const base = planned.base === undefined ? undefined : shared.states.get(planned.base);
  const start = starts.get(planned);
  let state: StageState;
  if (base !== undefined) state = stateOnStage(base, fixed);
  else if (start !== undefined) state = stateOnStart(start, fixed);
  else throw new Error(`Nothing is known of what stage ${planned.label} starts from`);
  if (start !== undefined) nameStart(state, start, shared);
  if (start?.extent !== "replaced" && planned.stage !== undefined) {
    state.tree = asRoot(state.tree, state, shared);
    for (const name of planned.usedArgs) state.usedArgs.add(name);
    state.isTrigger = true;
    for (const instruction of inherited) convertInstruction(state, instruction, shared);
    state.isTrigger = false;
    for (const instruction of own) convertInstruction(state, instruction, shared);
  }
  shared.states.set(planned, state);
}

function nameStart(state: StageState, start: Start, shared: Shared): void {
  const { tree, planned } = state;
  if (tree === undefined) return;
  if (tree.op.kind === "local") shared.usedContexts.add(tree.op.name);
  const isImage = tree.op.kind === "image";
  const name = isImage
    ? nextStepName(state, shared, `FROM ${start.name}`)
    : `[context ${start.name}] load from ${tree.op.kind}`;
  if (shared.meta.has(tree.digest)) return;
  shared.meta.set(tree.digest, {
    name,
    stage: planned.stage?.name ?? String(planned.index),
    instruction: `FROM ${planned.baseText}`,
    span: planned.span,
    cache: "use",
    argNames: [],
  });
}

function nameContext({ context, meta }: Shared): void {
  if (context === undefined) return;
  const what = "load build context";
  const text = { name: `[internal] ${what}`, instruction: what, stage: undefined, span: undefined };
  meta.set(context.digest, { ...text, cache: "use", argNames: [] });
}

function isUncached({ stage }: PlannedStage, { noCache }: ConvertOptions): boolean {
  if (noCache === "none" || noCache === "all") return noCache === "all";
  return stage?.name !== undefined && noCache.some((name) => name.toLowerCase() === stage.name);
}

function ignoreMatcher(context: ContextSource): PatternMatcher | undefined {
  if (context.kind !== "local" || context.excludes.length === 0) return undefined;
  const matcher = new PatternMatcher(context.excludes);
  // With exceptions a directory may be excluded and some of its files not: no telling from the text alone.
  return matcher.hasExclusions ? undefined : matcher;
}

/** With an explicit target the image says that platform, whatever its base said. */
function finalImage(image: ImageDraft, target: Platform | undefined): ImageDraft {
  const { os, architecture, variant, "os.version": version, "os.features": features, ...rest } = image;
  const isSame = target === undefined || (target.os === os && target.architecture === architecture);
  const platform = normalizePlatform({
    os: target?.os ?? os,
    architecture: target?.architecture ?? architecture,
    ...pick("variant", target?.variant ?? (isSame ? variant : undefined)),
    ...pick("osVersion", target?.osVersion ?? (isSame ? version : undefined)),
    ...pick("osFeatures", target?.osFeatures ?? features),
  });
  return {
    ...rest,
    architecture: platform.architecture,
    os: platform.os,
    ...pick("variant", platform.variant),
    ...pick("os.version", platform.osVersion),
    ...pick("os.features", platform.osFeatures),
  };
}

function pick<Key extends string, Value>(key: Key, value: Value | undefined): { readonly [K in Key]?: Value } {
  // One computed member, present only when there is a value: exactOptionalPropertyTypes.
  return value === undefined ? {} : ({ [key]: value } as { readonly [K in Key]: Value });
}
