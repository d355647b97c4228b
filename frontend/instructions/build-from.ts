import { BuildError } from "../../lib/core/errors.ts";
import type { Body } from "../syntax/ast.ts";
import { toWord, type InstructionContext } from "./context.ts";
import { describe } from "./description.ts";
import { FLAGS, readFlagTable } from "./flag-table.ts";
import type { FromInstruction, Word } from "./instruction.ts";

const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

export function buildFrom(context: InstructionContext, body: Extract<Body, { shape: "from" }>): FromInstruction {
  const { line } = context;
  const nameWord = body.name && toWord(line, body.name);
  const name = nameWord && stageName(nameWord);
  const flags = readFlagTable(context, FLAGS.from);
  return {
    ...context.text,
    kind: "from",
    base: toWord(line, body.base),
    platform: flags.text("platform"),
    name,
    nameWord,
    as: body.as && toWord(line, body.as),
    description: name === undefined ? undefined : describe(context.text.comments, name),
  };
}

function stageName(word: Word): string {
  const name = word.text.toLowerCase();
  if (STAGE_NAME.test(name)) return name;
  const message = `invalid name for build stage: ${JSON.stringify(word.text)}, name can't start with a number or contain symbols`;
  throw new BuildError("dockerfile/syntax", message, {
    span: word.span,
    hint: "a stage name is a letter, then letters, digits, and -_.",
  });
}
