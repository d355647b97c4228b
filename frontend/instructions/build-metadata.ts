import { BuildError, unreachable } from "../../lib/core/errors.ts";
import type { Body, CommandNode, DeclarationNode, Lexeme } from "../syntax/ast.ts";
import { trimSpace } from "../words/spaces.ts";
import { toCommand } from "./build-run.ts";
import { toWord, type InstructionContext } from "./context.ts";
import { describeAll } from "./description.ts";
import { FLAGS, readFlagTable } from "./flag-table.ts";
import type {
  ArgInstruction,
  CmdInstruction,
  EnvInstruction,
  ExposeInstruction,
  MaintainerInstruction,
  OnbuildInstruction,
  ShellInstruction,
  StopsignalInstruction,
  UserInstruction,
  VolumeInstruction,
  WorkdirInstruction,
} from "./instruction.ts";

/** Builds what CMD and ENTRYPOINT have in common. */
export function buildProcess(context: InstructionContext, command: CommandNode): Omit<CmdInstruction, "kind"> {
  readFlagTable(context, FLAGS.none);
  return { ...context.text, command: toCommand(context, command) };
}

export function buildShell(context: InstructionContext, lexemes: readonly Lexeme[]): ShellInstruction {
  readFlagTable(context, FLAGS.none);
  return { ...context.text, kind: "shell", argv: lexemes.map((lexeme) => lexeme.text) };
}

export function buildExpose(context: InstructionContext, lexemes: readonly Lexeme[]): ExposeInstruction {
  readFlagTable(context, FLAGS.none);
  const words = lexemes.map((lexeme) => toWord(context.line, lexeme));
  // Sorted before expansion, as in Docker's frontend: the order shows in the history.
  const ports = words.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  return { ...context.text, kind: "expose", ports };
}

export function buildVolume(context: InstructionContext, lexemes: readonly Lexeme[]): VolumeInstruction {
  readFlagTable(context, FLAGS.none);
  const words = lexemes.map((lexeme) => toWord(context.line, lexeme));
  const paths = words.map((word) => ({ ...word, text: trimSpace(word.text) }));
  const empty = paths.find((path) => path.text === "");
  if (empty !== undefined) {
    throw new BuildError("dockerfile/syntax", "VOLUME specified can not be an empty string", {
      span: empty.span,
      hint: "write VOLUME <path>...",
    });
  }
  return { ...context.text, kind: "volume", paths };
}

/** Builds what ENV and LABEL have in common. */
export function buildPairs(
  context: InstructionContext,
  body: Extract<Body, { shape: "pairs" }>,
): Omit<EnvInstruction, "kind"> {
  readFlagTable(context, FLAGS.none);
  const { line } = context;
  const pairs = body.pairs.map(({ name, value }) => ({
    key: toWord(line, name),
    value: toWord(line, value),
    span: line.span(name.start, value.end),
  }));
  return { ...context.text, pairs, form: body.form };
}

/** Builds ARG. Its flags are ignored, as in Docker's frontend. */
export function buildDeclarations(
  context: InstructionContext,
  declarations: readonly DeclarationNode[],
): ArgInstruction {
  const { line, text } = context;
  const descriptions = describeAll(text.comments);
  return {
    ...text,
    kind: "arg",
    declarations: declarations.map(({ name, value }) => ({
      name: name.text,
      value: value && toWord(line, value),
      span: line.span(name.start, (value ?? name).end),
      description: descriptions.get(name.text),
    })),
  };
}

export function buildStatement(
  context: InstructionContext,
  keyword: "WORKDIR" | "USER" | "STOPSIGNAL" | "MAINTAINER",
  text: Lexeme,
): MaintainerInstruction | StopsignalInstruction | UserInstruction | WorkdirInstruction {
  // Docker's frontend ignores the flags of STOPSIGNAL.
  if (keyword !== "STOPSIGNAL") readFlagTable(context, FLAGS.none);
  const word = toWord(context.line, text);
  switch (keyword) {
    case "WORKDIR":
      return { ...context.text, kind: "workdir", path: word };
    case "USER":
      return { ...context.text, kind: "user", user: word };
    case "STOPSIGNAL":
      return { ...context.text, kind: "stopsignal", signal: word };
    case "MAINTAINER":
      return { ...context.text, kind: "maintainer", name: word };
    default:
      return unreachable(keyword);
  }
}

export function buildOnbuild(context: InstructionContext, keyword: Lexeme): OnbuildInstruction {
  readFlagTable(context, FLAGS.none);
  let trigger = context.line.text.replace(/^\s*ONBUILD\s*/i, "");
  for (const { body, name } of context.heredocs) trigger += `\n${body}${name}`;
  return { ...context.text, kind: "onbuild", trigger, triggerKeyword: toWord(context.line, keyword) };
}
