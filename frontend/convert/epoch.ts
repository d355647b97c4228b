import { BuildError } from "../../lib/core/errors.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Dockerfile, Stage } from "../instructions/dockerfile.ts";
import { expandWord } from "../words/expand.ts";
import { findContext } from "./base-image.ts";
import type { GlobalScope } from "./global-args.ts";
import type { ConvertOptions } from "./options.ts";
import { readRemote } from "./remote-source.ts";
import type { ContextSource, Resolver } from "./resolver.ts";

const NAME = "SOURCE_DATE_EPOCH";

/**
 * Finds the date that everything new in the image gets. SOURCE_DATE_EPOCH is a number of seconds, or the name of a
 * source that has a date: `context`, a named context, or a stage that is one remote ADD. The date replaces the name
 * wherever the Dockerfile can see it.
 * @throws {BuildError} `dockerfile/arg`
 */
export async function resolveEpoch(
  dockerfile: Dockerfile,
  deps: {
    readonly scope: GlobalScope;
    readonly options: ConvertOptions;
    readonly resolver: Resolver;
    readonly target: Platform;
  },
  signal: AbortSignal,
): Promise<{
  readonly epoch: number | undefined;
  readonly scope: GlobalScope;
  readonly buildArgs: ReadonlyMap<string, string>;
}> {
  const { scope, options } = deps;
  const text = options.buildArgs.get(NAME) ?? (scope.values.get(NAME) || undefined);
  const fallback = options.reproducible?.epoch;
  if (text === undefined && fallback === undefined) return { epoch: undefined, scope, buildArgs: options.buildArgs };
  let epoch: number | undefined;
  if (text === undefined) epoch = fallback;
  else if (/^[+-]?\d+$/.test(text)) epoch = dateIn(text);
  else if (text !== "") {
    const source = await findSource(text, dockerfile, deps, signal);
    epoch = await deps.resolver.sourceDate(source, signal);
  }
  epoch ??= fallback;
  const values = new Map(scope.values);
  const buildArgs = new Map(options.buildArgs);
  // A reproducible build always has a date: also steps see it that declare the argument.
  if (fallback !== undefined) buildArgs.set(NAME, "");
  for (const known of [values, buildArgs]) {
    if (epoch === undefined) known.delete(NAME);
    else if (known.has(NAME)) known.set(NAME, String(epoch));
  }
  return { epoch, scope: { ...scope, values }, buildArgs };
}

/** Seconds of the first and last year that a configuration can express. */
const [EARLIEST, LATEST] = [-62_135_596_800, 253_402_300_799];

function dateIn(text: string): number {
  const seconds = Number(text);
  if (seconds >= EARLIEST && seconds <= LATEST) return seconds;
  throw new BuildError("dockerfile/arg", `Cannot use ${JSON.stringify(text)} as ${NAME}: it is out of range`, {
    hint: "give seconds since 1970 of a date before the year 10000",
  });
}

async function findSource(
  name: string,
  dockerfile: Dockerfile,
  deps: {
    readonly scope: GlobalScope;
    readonly options: ConvertOptions;
    readonly resolver: Resolver;
    readonly target: Platform;
  },
  signal: AbortSignal,
): Promise<ContextSource> {
  if (name === "context") return deps.options.context;
  const context = await findContext(name, deps.resolver, deps.target, signal);
  if (context !== undefined) return context;
  const stage = dockerfile.stages.find((candidate) => candidate.name === name.toLowerCase());
  if (stage !== undefined) return stageSource(stage, dockerfile, deps);
  throw new BuildError(
    "dockerfile/arg",
    `Cannot use ${JSON.stringify(name)} as ${NAME}: it is neither a number nor a source`,
    {
      hint: 'give seconds since 1970, "context", a named context, or a stage with a single remote ADD',
    },
  );
}

/** Finds the source of a stage that consists of one remote ADD. */
function stageSource(
  stage: Stage,
  dockerfile: Dockerfile,
  deps: { readonly scope: GlobalScope; readonly options: ConvertOptions },
): ContextSource {
  const bad = (why: string, span = stage.span): BuildError =>
    new BuildError("dockerfile/arg", `Cannot take ${NAME} from stage ${JSON.stringify(stage.name)}: ${why}`, { span });
  const values = new Map(deps.scope.values);
  values.delete(NAME);
  const expand = (text: string): string => expandWord(text, values, { escape: dockerfile.directives.escape }).text;
  if (expand(stage.from.base.text) !== "scratch") throw bad(`${NAME} stage must use FROM scratch`, stage.from.span);
  let found: ContextSource | undefined;
  for (const instruction of stage.instructions) {
    if (instruction.kind === "arg") {
      for (const { name, value } of instruction.declarations) {
        const text = deps.options.buildArgs.get(name) ?? (value && expand(value.text));
        if (text !== undefined) values.set(name, text);
      }
      continue;
    }
    if (instruction.kind !== "add") {
      throw bad(`unsupported ${instruction.kind.toUpperCase()} instruction`, instruction.span);
    }
    const [path] = instruction.paths;
    const isOne = found === undefined && instruction.paths.length === 1 && instruction.contents.length === 0;
    if (!isOne || path === undefined) throw bad("it must contain exactly one remote ADD", instruction.span);
    const checksum = instruction.checksum === undefined ? "" : expand(instruction.checksum.text);
    found = readRemote(expand(path.text), path.span, instruction, checksum)?.op;
    if (found === undefined) throw bad("its source must be a single HTTP(S) or Git ADD", path.span);
  }
  if (found === undefined) throw bad("it must contain exactly one remote ADD");
  return found;
}
