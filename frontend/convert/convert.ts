import type { Digest } from "../../lib/core/digest.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import { parseReference } from "../../lib/core/reference.ts";
import type { VertexMeta } from "../../solver/graph/vertex.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import { DEFAULT_CHECKS, parseCheckConfig } from "../lint/check-config.ts";
import { checkFile } from "../lint/file-checks.ts";
import { Linter } from "../lint/linter.ts";
import { invalidDefaultArgInFrom } from "../lint/rules/invalid-default-arg-in-from.ts";
import { expandWord } from "../words/expand.ts";
import type { Start } from "./base-image.ts";
import type { Conversion } from "./conversion.ts";
import { resolveEpoch } from "./epoch.ts";
import { type GlobalScope, evaluateGlobalArgs } from "./global-args.ts";
import { finalImage } from "./final-image.ts";
import type { ConvertOptions } from "./options.ts";
import { imageOf } from "./image-facts.ts";
import { outlineOf } from "./outline-facts.ts";
import { Plan, type PlannedStage } from "./plan.ts";
import { platformArgs } from "./platform-args.ts";
import type { ContextSource, Resolver } from "./resolver.ts";
import { sourceVertex } from "./sources.ts";
import { uniformResolver, uniformSource } from "./uniform-source.ts";
import { asRoot } from "./root-tree.ts";
import { convertInstruction } from "./stage.ts";
import { type Shared, type StageState, entriesOf, stateOnStage, stateOnStart } from "./stage-state.ts";
import { type Triggers, neededStages, resolveStarts } from "./starts.ts";
import { TextBudget } from "./text-budget.ts";
import { nextStepName } from "./step.ts";
import { forTrigger } from "./trigger-error.ts";

/**
 * Turns a parsed Dockerfile into a build graph and the image around it, for one platform. Only the stages that the
 * target needs are converted, and only their images are resolved. Pure, apart from the resolver's answers.
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

/** Does the same as {@link convertDockerfile}, with a linter that keeps its findings even when the conversion fails. */
export async function convertChecked(
  dockerfile: Dockerfile,
  given: { readonly options: ConvertOptions; readonly resolver: Resolver; readonly linter: Linter },
  signal: AbortSignal,
): Promise<Conversion> {
  const { linter } = given;
  checkFile(dockerfile, linter);
  const target = given.options.targetPlatform ?? given.options.buildPlatform;
  const targetStage = given.options.target ?? dockerfile.stages.at(-1)?.name;
  const predefined = platformArgs({ build: given.options.buildPlatform, target, targetStage });
  checkDefaultBases(dockerfile, predefined, linter);
  const evaluated = evaluateGlobalArgs(dockerfile, predefined, given.options.buildArgs);
  const dating = { scope: evaluated, options: given.options, resolver: given.resolver, target };
  const { scope, epoch, buildArgs } = await resolveEpoch(dockerfile, dating, signal);
  const uniformTime = given.options.reproducible === undefined ? undefined : epoch;
  const resolver = uniformResolver(given.resolver, uniformTime);
  const context = uniformSource(given.options.context, uniformTime);
  const options = { ...given.options, buildArgs, context };
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
    budget: new TextBudget(),
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
    image: finalImage(imageOf(state.image, state.platform, options.labels), options.targetPlatform),
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

/** Reads the check settings of the whole file. The build arg takes precedence over the directive. */
export function checksOf(
  dockerfile: Dockerfile,
  options: Pick<ConvertOptions, "buildArgs">,
): ReturnType<typeof parseCheckConfig> {
  const given = options.buildArgs.get("BUILDKIT_DOCKERFILE_CHECK");
  if (given !== undefined) return parseCheckConfig(given, undefined);
  const { check } = dockerfile.directives;
  // The value ends at the first blank, as with BuildKit.
  return check === undefined ? DEFAULT_CHECKS : parseCheckConfig(check.value.split(/\s/, 1)[0] ?? "", check.span);
}

/** Reports a base image that has no name unless a --build-arg is given. */
function checkDefaultBases(dockerfile: Dockerfile, predefined: ReadonlyMap<string, string>, linter: Linter): void {
  const scope = defaultScope(dockerfile, predefined);
  if (scope === undefined) return;
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

/** Evaluates the global scope without any --build-arg; `undefined` for a file that requires one. */
function defaultScope(dockerfile: Dockerfile, predefined: ReadonlyMap<string, string>): GlobalScope | undefined {
  try {
    return evaluateGlobalArgs(dockerfile, predefined, new Map());
  } catch (error) {
    if (error instanceof BuildError && error.code === "dockerfile/expansion") return undefined;
    throw error;
  }
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
    for (const name of planned.usedArgs) state.outline.usedArgs.add(name);
    for (const trigger of inherited) {
      state.trigger = `ONBUILD of ${planned.baseText}: ${trigger.original.trim()}`;
      forTrigger(planned, () => convertInstruction(state, trigger, shared));
    }
    state.trigger = undefined;
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
  // With exceptions, a directory may be excluded and some of its files not. The text alone cannot tell.
  return matcher.hasExclusions ? undefined : matcher;
}
