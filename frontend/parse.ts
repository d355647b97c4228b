import { BuildError } from "../lib/core/errors.ts";
import type { SourceText } from "../lib/core/span.ts";
import { buildInstruction } from "./instructions/build-instruction.ts";
import { toWord } from "./instructions/context.ts";
import { checkOf } from "./instructions/description.ts";
import type { Dockerfile, EmptyContinuation, Stage } from "./instructions/dockerfile.ts";
import type {
  ArgInstruction,
  Flag,
  FromInstruction,
  Instruction,
  InstructionText,
  StageInstruction,
} from "./instructions/instruction.ts";
import type { FlagLexeme } from "./syntax/ast.ts";
import { readDirectives, textStart } from "./syntax/directives.ts";
import { EncodingCheck } from "./syntax/encoding.ts";
import { readHeredocs } from "./syntax/heredoc.ts";
import { parseLine } from "./syntax/instruction-parser.ts";
import { LineReader } from "./syntax/line-reader.ts";
import { JoinedSpan, type LogicalLine } from "./syntax/logical-line.ts";
import { otherFormat } from "./syntax/other-format.ts";
import type { Escape } from "./words/escape.ts";

/**
 * Parses a whole Dockerfile.
 * @throws {BuildError} for the first syntax error of the file; `more` holds the others, in the order of the file
 */
export function parseDockerfile(source: SourceText): Dockerfile {
  const errors = new ErrorList();
  const { directives, endOffset } = readDirectives(source, errors.add);
  const reader = new LineReader(source, endOffset, directives.escape, errors.add);
  const file = new DockerfileBuilder(source, errors);
  readInstructions(reader, directives.escape, errors, (instruction, line) => file.add(instruction, line));
  refuseOtherFormat(source, errors, file);
  errors.throwIfAny();
  return { source, directives, ...file.finish() };
}

/** Reports one error for a text in another format, instead of one error per line. */
function refuseOtherFormat(source: SourceText, errors: ErrorList, file: DockerfileBuilder): void {
  if (errors.isEmpty) return;
  const format = otherFormat(source.text);
  const known = format === undefined ? undefined : `it looks like ${format.name}`;
  const why = known ?? (!file.hasInstructions && errors.isHopeless ? "none of its lines is an instruction" : undefined);
  if (why === undefined) return;
  const message = `Cannot read ${JSON.stringify(source.name)} as a Dockerfile: ${why}`;
  throw new BuildError("dockerfile/other-format", message, { hint: format?.hint });
}

/**
 * Parses one instruction that an image carries for its children (ONBUILD). `source` holds nothing else; its name is
 * shown in errors. The escape character is always a backslash.
 * @throws {BuildError} `dockerfile/...`
 */
export function parseOnbuildTrigger(source: SourceText): StageInstruction {
  const errors = new ErrorList();
  const reader = new LineReader(source, textStart(source.text), "\\", errors.add);
  const instructions: Instruction[] = [];
  readInstructions(reader, "\\", errors, (read) => instructions.push(read));
  errors.throwIfAny();
  const [instruction] = instructions;
  if (instruction === undefined || instructions.length > 1) {
    throw new BuildError("dockerfile/instruction", "onbuild trigger should be a single expression", {
      span: source.span(0, source.text.length),
    });
  }
  if (instruction.kind === "from" || instruction.kind === "onbuild" || instruction.kind === "maintainer") {
    const keyword = instruction.kind.toUpperCase();
    throw new BuildError("dockerfile/instruction", `${keyword} isn't allowed as an ONBUILD trigger`, {
      span: instruction.span,
    });
  }
  return instruction;
}

/** Reads instructions. One with errors is reported and left out. */
function readInstructions(
  reader: LineReader,
  escape: Escape,
  errors: ErrorList,
  add: (instruction: Instruction, line: LogicalLine) => void,
): void {
  const encoding = new EncodingCheck(reader.source);
  for (let line = reader.next(); line !== undefined && !errors.isFull; line = reader.next()) {
    let instruction: Instruction;
    try {
      instruction = readInstruction(line, { reader, escape, encoding });
    } catch (error) {
      errors.addOfInstruction(error);
      continue;
    }
    add(instruction, line);
  }
}

function readInstruction(
  line: LogicalLine,
  file: { readonly reader: LineReader; readonly escape: Escape; readonly encoding: EncodingCheck },
): Instruction {
  const { reader, encoding } = file;
  const parsed = parseLine(line, file.escape);
  // Bodies are read below an instruction with errors too: their lines are not instructions.
  const below = parsed.heredocs === undefined ? undefined : readHeredocs(line, reader, parsed.heredocs);
  const undecoded = encoding.errorOf(line, below?.heredocs ?? NONE, parsed.heredocs === "words" ? "files" : "command");
  if (undecoded !== undefined) throw undecoded;
  if (parsed.error !== undefined) throw parsed.error;
  const { node } = parsed;
  const text: InstructionText = {
    span: line.spanTo(below?.end ?? line.endOffset),
    keyword: toWord(line, node.keyword),
    flags: node.flags.length === 0 ? NONE : node.flags.map((flag) => toFlag(line, flag)),
    original: line.text,
    comments: line.comments,
    check: checkOf(line.comments),
  };
  return buildInstruction({ node, line, heredocs: below?.heredocs ?? NONE, text });
}

const NONE: readonly never[] = [];

function toFlag(line: LogicalLine, { name, value, start, end }: FlagLexeme): Flag {
  return { name, value: value?.text, span: line.span(start, end) };
}

/** Puts instructions into stages. */
class DockerfileBuilder {
  readonly #source: SourceText;
  readonly #errors: ErrorList;
  readonly #globalArgs: ArgInstruction[] = [];
  readonly #stages: { from: FromInstruction; instructions: StageInstruction[] }[] = [];
  readonly #emptyContinuations: EmptyContinuation[] = [];
  #sawInstruction = false;

  constructor(source: SourceText, errors: ErrorList) {
    this.#source = source;
    this.#errors = errors;
  }

  add(instruction: Instruction, line: LogicalLine): void {
    this.#sawInstruction = true;
    if (line.blankLines.length > 0)
      this.#emptyContinuations.push({ instruction: instruction.span, lines: line.blankLines, endLine: line.endLine });
    if (instruction.kind === "from") {
      this.#stages.push({ from: instruction, instructions: [] });
      return;
    }
    const stage = this.#stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else if (instruction.kind === "arg") this.#globalArgs.push(instruction);
    else this.#errors.addStageless(instruction);
  }

  get hasInstructions(): boolean {
    return this.#sawInstruction;
  }

  finish(): Omit<Dockerfile, "source" | "directives"> {
    if (this.#stages.length === 0) throw this.#noStages();
    return {
      globalArgs: this.#globalArgs,
      stages: this.#stages.map(({ from, instructions }, index): Stage => {
        const span = new JoinedSpan(from.span, (instructions.at(-1) ?? from).span);
        return { index, name: from.name, from, instructions, span };
      }),
      emptyContinuations: this.#emptyContinuations,
    };
  }

  #noStages(): BuildError {
    const { text } = this.#source;
    const span = this.#source.span(0, 0);
    const hint = "begin with FROM <image>, or FROM scratch";
    if (text.length === 0) return new BuildError("dockerfile/empty", "the Dockerfile cannot be empty", { span, hint });
    const message = this.#sawInstruction ? "dockerfile contains no stages to build" : "file with no instructions";
    return new BuildError("dockerfile/empty", message, { span, hint });
  }
}

// Each error is shown with its lines: more errors would only push the first ones off the screen. The rest of the file
// is not read.
const MAX_ERRORS = 100;

/** The syntax errors of a file. */
class ErrorList {
  readonly #errors: BuildError[] = [];
  #isStageMissing = false;
  #hasLostInstruction = false;

  readonly add = (error: BuildError): void => {
    if (!this.isFull) this.#errors.push(error);
  };

  get isEmpty(): boolean {
    return this.#errors.length === 0;
  }

  /** True when several lines begin with no instruction, and there is no other error. */
  get isHopeless(): boolean {
    return this.#errors.length >= 5 && this.#errors.every(({ code }) => code === "dockerfile/unknown-instruction");
  }

  get isFull(): boolean {
    return this.#errors.length >= MAX_ERRORS;
  }

  /** Adds the error for an instruction above the first FROM, once: all such instructions share it. */
  addStageless(instruction: Instruction): void {
    // An instruction that was left out may have been the FROM.
    if (this.#isStageMissing || this.#hasLostInstruction) return;
    this.#isStageMissing = true;
    this.add(
      new BuildError("dockerfile/from", "no build stage in current context", {
        span: instruction.span,
        hint: "only ARG may stand before the first FROM",
      }),
    );
  }

  /** Adds the error of an instruction that is now left out. */
  addOfInstruction(error: unknown): void {
    if (!(error instanceof BuildError)) throw error;
    this.add(error);
    this.#hasLostInstruction = true;
  }

  throwIfAny(): void {
    const [first, ...rest] = this.#errors.toSorted((a, b) => offsetOf(a) - offsetOf(b));
    if (first === undefined) return;
    if (this.isFull)
      rest.push(new BuildError("dockerfile/syntax", "too many errors: the rest of the file was not read"));
    throw first.withMore(rest);
  }
}

function offsetOf(error: BuildError): number {
  return error.span?.start.offset ?? 0;
}
