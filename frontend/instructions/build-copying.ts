import { BuildError } from "../../lib/core/errors.ts";
import type { Lexeme } from "../syntax/ast.ts";
import { parseHeredocWord } from "../syntax/heredoc.ts";
import { toWord, type InstructionContext } from "./context.ts";
import { FLAGS, readFlagTable } from "./flag-table.ts";
import {
  heredocText,
  type AddInstruction,
  type CopyContent,
  type CopyFields,
  type CopyInstruction,
  type Word,
} from "./instruction.ts";

/** Builds COPY and ADD. `words` are at least two. */
export function buildCopying(
  context: InstructionContext,
  keyword: "ADD" | "COPY",
  words: readonly Lexeme[],
): AddInstruction | CopyInstruction {
  const operands = readOperands(context, keyword, words);
  if (keyword === "ADD") {
    const flags = readFlagTable(context, FLAGS.add);
    return {
      ...context.text,
      kind: "add",
      ...operands,
      chown: flags.text("chown"),
      chmod: flags.text("chmod"),
      link: flags.boolean("link") ?? false,
      excludes: flags.list("exclude"),
      checksum: flags.text("checksum"),
      keepGitDir: flags.boolean("keep-git-dir"),
      unpack: flags.boolean("unpack"),
    };
  }
  const flags = readFlagTable(context, FLAGS.copy);
  return {
    ...context.text,
    kind: "copy",
    ...operands,
    chown: flags.text("chown"),
    chmod: flags.text("chmod"),
    link: flags.boolean("link") ?? false,
    excludes: flags.list("exclude"),
    from: readFrom(flags.text("from")),
    parents: flags.boolean("parents") ?? false,
  };
}

function readOperands(
  { line, heredocs }: InstructionContext,
  keyword: string,
  given: readonly Lexeme[],
): Pick<CopyFields, "paths" | "contents" | "destination"> {
  const words = heredocs.length === 0 ? given : joinHeredocs(given);
  const last = words.at(-1);
  if (last === undefined) throw new Error("The grammar accepts no COPY without words");
  const destination = toWord(line, last);
  if (parseHeredocWord(destination.text, destination.span) !== undefined) {
    throw new BuildError("dockerfile/heredoc", `${keyword} cannot accept a heredoc as a destination`, {
      span: destination.span,
      hint: `write ${keyword} ${destination.text} <destination>`,
    });
  }
  const paths: Word[] = [];
  const contents: CopyContent[] = [];
  // When two here-documents share one name, the later body counts for both.
  const bodies = new Map(heredocs.map((heredoc) => [heredoc.name, heredoc]));
  for (const source of words.slice(0, -1)) {
    const word = toWord(line, source);
    const heredoc = parseHeredocWord(source.text, word.span);
    if (heredoc === undefined) {
      paths.push(word);
      continue;
    }
    // In JSON form nothing below the line is read, and the file is empty.
    const found = bodies.get(heredoc.name);
    const text = found === undefined ? "" : heredocText({ body: found.body, chomp: heredoc.chomp });
    const { name, expand } = heredoc;
    contents.push({ name, expand, text, span: word.span, bodySpan: found?.bodySpan ?? word.span });
  }
  return { paths, contents, destination };
}

/** Joins `<<` with a name that follows after a blank. */
function joinHeredocs(words: readonly Lexeme[]): readonly Lexeme[] {
  const joined: Lexeme[] = [];
  for (const word of words) {
    const sign = joined.at(-1);
    if (sign === undefined || !/^\d*<<-?$/.test(sign.text)) joined.push(word);
    else joined[joined.length - 1] = { text: sign.text + word.text, start: sign.start, end: word.end };
  }
  return joined;
}

function readFrom(from: Word | undefined): Word | undefined {
  if (from !== undefined && /\$./s.test(from.text)) {
    const message =
      "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround";
    throw new BuildError("dockerfile/copy", message, {
      span: from.span,
      hint: `write FROM ${from.text} AS <name> above, and --from=<name> here`,
    });
  }
  return from?.text === "" ? undefined : from;
}
