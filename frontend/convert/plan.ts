import { BuildError, unreachable } from "../../lib/core/errors.ts";
import { type Platform, parsePlatform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import { didYouMean, suggest } from "../../lib/core/suggest.ts";
import { findCycle } from "../../solver/graph/order.ts";
import type { Dockerfile, Stage } from "../instructions/dockerfile.ts";
import type { StageInstruction, Word } from "../instructions/instruction.ts";
import type { Linter } from "../lint/linter.ts";
import { fromPlatformFlagConstDisallowed } from "../lint/rules/from-platform-flag-const-disallowed.ts";
import { redundantTargetPlatform } from "../lint/rules/redundant-target-platform.ts";
import { undefinedArgInFrom } from "../lint/rules/undefined-arg-in-from.ts";
import { type Expansion, expandWord } from "../words/expand.ts";
import type { GlobalScope } from "./global-args.ts";

/** A tree to start from: a stage of the file, or an image that a `--from` names. */
export interface PlannedStage {
  /** Position among all planned stages; those of the file come first, in order. */
  readonly index: number;
  /** `undefined` for an image that only a `--from` names. */
  readonly stage: Stage | undefined;
  /** `build`, `stage-0`, or the image's name. */
  readonly label: string;
  /** Expanded text of FROM: an image name, `scratch`, or a name that resolved to `base`. */
  readonly baseText: string;
  /** The earlier stage of the same file that this one continues. */
  readonly base: PlannedStage | undefined;
  /** Value of `--platform`. */
  readonly platform: Platform | undefined;
  /** Place of the FROM or `--from` that asks for it. */
  readonly span: Span;
  /** ARGs that FROM mentions. */
  readonly usedArgs: ReadonlySet<string>;
  /** Stages and images that the instructions read from, each with the place of the reference. Triggers add more. */
  readonly needs: Map<PlannedStage, Span>;
}

/** The stages of a file and their dependencies. */
export class Plan {
  readonly stages: PlannedStage[] = [];
  /** Meaning of each `--from` of an instruction: one entry per COPY and per mount; `undefined` is the build context. */
  readonly sources = new Map<StageInstruction, readonly (PlannedStage | undefined)[]>();
  readonly #byName = new Map<string, PlannedStage>();
  readonly #fileStages: number;

  /**
   * @throws {BuildError} for a FROM that cannot be read, a `--from` with a bad number, or stages that need each other
   * in a circle
   */
  constructor(dockerfile: Dockerfile, scope: GlobalScope, deps: { readonly linter: Linter; readonly host: Platform }) {
    this.#fileStages = dockerfile.stages.length;
    for (const stage of dockerfile.stages) this.#add(planStage(stage, this, dockerfile, scope, deps));
    for (const planned of this.stages.slice()) {
      for (const instruction of planned.stage?.instructions ?? []) this.connect(planned, instruction);
    }
    this.#refuseCircles();
  }

  /**
   * Finds the stage that a FROM continues, among those added so far. The text is compared as it is; names are
   * lower-case.
   */
  baseOf(text: string): PlannedStage | undefined {
    return this.#byName.get(text);
  }

  /**
   * Enters the sources of an instruction (the file's own, or a trigger's) into the plan. Returns whether it reads from
   * another stage or image.
   */
  connect(user: PlannedStage, instruction: StageInstruction): boolean {
    const words = fromWords(instruction);
    if (words.length === 0) return false;
    const sources = words.map((word) => (word === undefined ? undefined : this.#find(word, user)));
    this.sources.set(instruction, sources);
    for (const source of sources) if (source !== undefined) user.needs.set(source, instruction.span);
    return sources.some((source) => source !== undefined);
  }

  /**
   * Finds the target stage.
   * @throws {BuildError} `dockerfile/unknown-stage`
   */
  target(name: string | undefined): PlannedStage {
    const found = name === undefined ? this.stages[this.#fileStages - 1] : this.#byName.get(name.toLowerCase());
    if (found !== undefined) return found;
    const names = [...this.#byName.keys()];
    throw new BuildError(
      "dockerfile/unknown-stage",
      `Cannot build target stage ${JSON.stringify(name ?? "")}: no stage has that name${didYouMean(name ?? "", names)}`,
      { hint: names.length === 0 ? 'name a stage with "FROM ... AS name"' : `the stages are: ${names.join(", ")}` },
    );
  }

  /** Collects the stages that a stage needs, itself included, in no special order. */
  reachable(from: PlannedStage): Set<PlannedStage> {
    const found = new Set<PlannedStage>();
    const waiting = [from];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (found.has(next)) continue;
      found.add(next);
      if (next.base !== undefined) waiting.push(next.base);
      waiting.push(...next.needs.keys());
    }
    return found;
  }

  #add(planned: PlannedStage): PlannedStage {
    this.stages.push(planned);
    if (planned.stage?.name !== undefined) this.#byName.set(planned.stage.name, planned);
    return planned;
  }

  #find(word: Word, user: PlannedStage): PlannedStage {
    if (/^[+-]?\d+$/.test(word.text)) {
      const numbered = this.stages[Number(word.text)];
      if (numbered?.stage !== undefined) return numbered;
      throw new BuildError("dockerfile/unknown-stage", `Cannot copy from stage ${word.text}: invalid stage index`, {
        span: word.span,
        hint: `stages count from 0; this file has ${this.#fileStages}`,
      });
    }
    const named = this.#byName.get(word.text.toLowerCase());
    if (named !== undefined) return named;
    return this.#add({
      index: this.stages.length,
      stage: undefined,
      label: word.text,
      baseText: word.text,
      base: undefined,
      platform: undefined,
      // A trigger's words are not in the user's file, so the error points at the FROM that brought the trigger.
      span: word.span.source === user.span.source ? word.span : user.span,
      usedArgs: new Set(),
      needs: new Map(),
    });
  }

  #refuseCircles(): void {
    // A stage that needs only earlier stages cannot be part of a circle. Nearly all files are like that.
    if (!this.stages.some(needsLater)) return;
    const dependencies = new Map(
      this.stages.map((stage) => [String(stage.index), [...stage.needs.keys()].map((need) => String(need.index))]),
    );
    const cycle = findCycle(dependencies)?.map((index) => this.stages[Number(index)]);
    const [first, second] = cycle ?? [];
    if (cycle === undefined || first === undefined) return;
    const labels = cycle.map((stage) => stage?.label ?? "");
    const between = labels.length > SHOWN_STAGES ? [...labels.slice(0, SHOWN_STAGES), "..."] : labels.slice(0, -1);
    const path = [...between, first.label].join(" -> ");
    const span = second === undefined ? first.span : first.needs.get(second);
    throw new BuildError(
      "dockerfile/circular-stage",
      `Circular dependency detected on stage: ${first.label} (${path})`,
      {
        span,
        hint: "a stage can only use stages that do not need it themselves",
      },
    );
  }
}

/** Most stages of a circle that are named. */
const SHOWN_STAGES = 20;

function needsLater(stage: PlannedStage): boolean {
  return [...stage.needs.keys()].some((need) => need.stage !== undefined && need.index >= stage.index);
}

/** Lists the `from` of a COPY, or of each mount of a RUN. `undefined` means the build context, or nothing to read. */
function fromWords(instruction: StageInstruction): readonly (Word | undefined)[] {
  switch (instruction.kind) {
    case "copy":
      return instruction.from === undefined ? NONE : [instruction.from];
    case "run":
      if (instruction.mounts.length === 0) return NONE;
      return instruction.mounts.map(({ from, text, span }) =>
        from === undefined || from === "" || TMPFS.test(text) ? undefined : { text: from, span },
      );
    case "add":
    case "arg":
    case "cmd":
    case "entrypoint":
    case "env":
    case "expose":
    case "healthcheck":
    case "label":
    case "maintainer":
    case "onbuild":
    case "shell":
    case "stopsignal":
    case "user":
    case "volume":
    case "workdir":
      return NONE;
    default:
      return unreachable(instruction);
  }
}

const NONE: readonly never[] = [];

const TMPFS = /(?:^|,)"?type=tmpfs"?(?:,|$)/i;

function planStage(
  stage: Stage,
  plan: Plan,
  dockerfile: Dockerfile,
  scope: GlobalScope,
  deps: { readonly linter: Linter; readonly host: Platform },
): PlannedStage {
  const { from } = stage;
  const expand = (word: Word): Expansion => {
    const expansion = expandWord(word.text, scope.values, { escape: dockerfile.directives.escape, span: word.span });
    for (const name of expansion.unset) {
      if (!scope.facts.has(name))
        deps.linter.report(undefinedArgInFrom, from, name, suggest(name, scope.values.keys()));
    }
    return expansion;
  };
  const base = expand(from.base);
  if (base.text === "") {
    throw new BuildError("dockerfile/from", `Cannot build from ${JSON.stringify(from.base.text)}: the name is empty`, {
      span: from.base.span,
      hint: missingArgHint(base, scope),
    });
  }
  // An empty "--platform=" equals no flag. Only a variable must have a value.
  const platform = from.platform === undefined || from.platform.text === "" ? undefined : expand(from.platform);
  return {
    index: stage.index,
    stage,
    label: stage.name ?? `stage-${stage.index}`,
    baseText: base.text,
    base: plan.baseOf(base.text),
    platform: from.platform && platform && readPlatform(from.platform, platform, { stage, scope, deps }),
    span: from.span,
    usedArgs: new Set([...base.used, ...(platform?.used ?? [])]),
    needs: new Map(),
  };
}

function readPlatform(
  word: Word,
  expansion: Expansion,
  context: {
    readonly stage: Stage;
    readonly scope: GlobalScope;
    readonly deps: { readonly linter: Linter; readonly host: Platform };
  },
): Platform {
  const { text, used, unset } = expansion;
  const { stage, scope, deps } = context;
  if (text === "") {
    throw new BuildError("dockerfile/from", `Cannot use ${JSON.stringify(word.text)} as a platform: it is empty`, {
      span: word.span,
      hint: missingArgHint(expansion, scope),
    });
  }
  let platform: Platform;
  try {
    platform = parsePlatform(text, deps.host);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw error.at(word.span);
  }
  if (
    used.size === 1 &&
    unset.size === 0 &&
    used.has("TARGETPLATFORM") &&
    text === scope.values.get("TARGETPLATFORM")
  ) {
    deps.linter.report(redundantTargetPlatform, stage.from, word.text);
  }
  const isConstant = used.size === 0 && unset.size === 0;
  const { name } = stage;
  if (isConstant && !(name?.includes(platform.os) || name?.includes(platform.architecture))) {
    deps.linter.report(fromPlatformFlagConstDisallowed, stage.from, text);
  }
  return platform;
}

function missingArgHint({ unset }: Expansion, scope: GlobalScope): string {
  const [name] = unset;
  if (name === undefined)
    return "give the variable a value: ARG NAME=value above the first FROM, or --build-arg NAME=value";
  const similar = suggest(name, scope.values.keys());
  return similar === undefined
    ? `give it a value: ARG ${name}=value above the first FROM, or --build-arg ${name}=value`
    : `did you mean $${similar}? $${name} has no value here`;
}
