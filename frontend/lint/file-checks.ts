import type { SourceText, Span } from "../../lib/core/span.ts";
import type { Dockerfile, Stage } from "../instructions/dockerfile.ts";
import type { ArgInstruction, Instruction } from "../instructions/instruction.ts";
import type { Linter } from "./linter.ts";
import { consistentInstructionCasing } from "./rules/consistent-instruction-casing.ts";
import { duplicateStageName } from "./rules/duplicate-stage-name.ts";
import { fromAsCasing } from "./rules/from-as-casing.ts";
import { invalidDefinitionDescription } from "./rules/invalid-definition-description.ts";
import { legacyKeyValueFormat } from "./rules/legacy-key-value-format.ts";
import { maintainerDeprecated } from "./rules/maintainer-deprecated.ts";
import { noEmptyContinuation } from "./rules/no-empty-continuation.ts";
import { reservedStageName } from "./rules/reserved-stage-name.ts";
import { stageNameCasing } from "./rules/stage-name-casing.ts";

/** Runs the checks that need only the text. They cover the whole file, whichever stages are built. */
export function checkFile(dockerfile: Dockerfile, linter: Linter): void {
  checkStageNames(dockerfile.stages, linter);
  checkInstructionCasing(dockerfile.stages, linter);
  checkEach(dockerfile, linter);
}

/** Reports findings about single instructions above the place where parsing stopped. */
export function checkUpToError(dockerfile: Dockerfile, linter: Linter): void {
  checkEach(dockerfile, linter);
  for (const instruction of dockerfile.stages.flatMap(({ instructions }) => instructions)) {
    if ((instruction.kind === "env" || instruction.kind === "label") && instruction.form === "legacy")
      linter.report(legacyKeyValueFormat, instruction, instruction.keyword.text.toUpperCase());
  }
}

function checkEach(dockerfile: Dockerfile, linter: Linter): void {
  for (const { endLine } of dockerfile.emptyContinuations)
    linter.report(noEmptyContinuation, { span: lineSpan(dockerfile.source, endLine) });
  for (const arg of dockerfile.globalArgs) checkArgDescription(arg, linter);
  for (const stage of dockerfile.stages) {
    checkFrom(stage, linter);
    for (const instruction of stage.instructions) {
      if (instruction.kind === "maintainer") linter.report(maintainerDeprecated, instruction);
      if (instruction.kind === "arg") checkArgDescription(instruction, linter);
    }
  }
}

function lineSpan(source: SourceText, line: number): Span {
  const start = source.lineStarts[line - 1] ?? 0;
  return source.span(start, start + source.line(line).length);
}

const RESERVED_NAMES = new Set(["context", "scratch"]);

function checkStageNames(stages: readonly Stage[], linter: Linter): void {
  const seen = new Set<string>();
  for (const { name, from } of stages) {
    if (name === undefined) continue;
    if (RESERVED_NAMES.has(name)) linter.report(reservedStageName, from, name);
    if (seen.has(name)) linter.report(duplicateStageName, from, name);
    seen.add(name);
  }
}

function checkFrom({ from, name }: Stage, linter: Linter): void {
  const written = from.nameWord?.text;
  if (written !== undefined && written !== written.toLowerCase()) linter.report(stageNameCasing, from, written);
  if (from.as !== undefined && !isSameCasing(from.as.text, from.keyword.text)) {
    linter.report(fromAsCasing, from, from.as.text, from.keyword.text);
  }
  if (name !== undefined) checkDescription("FROM", [name], from, linter);
}

function checkArgDescription(arg: ArgInstruction, linter: Linter): void {
  checkDescription(
    "ARG",
    arg.declarations.map(({ name }) => name),
    arg,
    linter,
  );
}

/** Checks that a description begins with the name it describes. As in BuildKit, the last comment line above counts. */
function checkDescription(kind: string, names: readonly string[], instruction: Instruction, linter: Linter): void {
  const comment = instruction.comments.findLast(({ text }) => !isCheckComment(text));
  const [first, ...others] = names;
  if (comment === undefined || first === undefined || names.includes(comment.text.split(" ", 1)[0] ?? "")) return;
  linter.report(invalidDefinitionDescription, instruction, kind, others.length === 0 ? first : "<arg_key>");
}

function isCheckComment(text: string): boolean {
  return /^check\s*=/i.test(text);
}

function checkInstructionCasing(stages: readonly Stage[], linter: Linter): void {
  // A file of ten thousand instructions has about ten different keywords.
  const counts = new Map<string, number>();
  const add = ({ keyword }: Instruction): void => void counts.set(keyword.text, (counts.get(keyword.text) ?? 0) + 1);
  for (const stage of stages) {
    add(stage.from);
    stage.instructions.forEach(add);
  }
  let lower = 0;
  let upper = 0;
  for (const [text, count] of counts) {
    if (text === text.toLowerCase()) lower += count;
    else if (text === text.toUpperCase()) upper += count;
  }
  const casing = lower > upper ? "lowercase" : "uppercase";
  const wrong = [...counts.keys()].filter(
    (text) => text !== (casing === "lowercase" ? text.toLowerCase() : text.toUpperCase()),
  );
  if (wrong.length === 0) return;
  for (const instruction of stages.flatMap((stage): readonly Instruction[] => [stage.from, ...stage.instructions])) {
    const { text } = instruction.keyword;
    if (wrong.includes(text)) linter.report(consistentInstructionCasing, instruction, text, casing);
  }
}

/** Tells whether two keywords have the same casing. A mixed-case keyword matches only the same spelling. */
function isSameCasing(as: string, from: string): boolean {
  const isLower = from === from.toLowerCase();
  const isUpper = from === from.toUpperCase();
  if (isLower) return as === as.toLowerCase();
  return isUpper ? as === as.toUpperCase() : true;
}
