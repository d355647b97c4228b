import type { IRecognitionException } from "chevrotain";
import { BuildError } from "../../../lib/core/errors.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import type { Attribute, Block, Body, Expression, Place } from "./ast.ts";
import { syntaxFailure } from "./failure.ts";
import { HclGrammar } from "./grammar.ts";
import { tokenize } from "./lexer.ts";
import * as T from "./tokens.ts";

/**
 * Parses a file in HCL's own syntax.
 * @throws {BuildError} `bake/syntax`
 */
export function parseHcl(source: SourceText): Body {
  return parse(source, "hcl", (grammar, tokens) => grammar.readFile(tokens));
}

/**
 * Parses a file in JSON: objects named `blocks` hold blocks by their labels, all else are attributes.
 * @throws {BuildError} `bake/syntax`
 */
export function parseJson(source: SourceText, blockTypes: readonly string[]): Body {
  const value = parse(source, "json", (grammar, tokens) => grammar.readExpression(tokens));
  if (value.kind !== "object") throw syntaxFailure("Cannot read a definition: it is no object", value.place);
  const attributes: Attribute[] = [];
  const blocks: Block[] = [];
  for (const { name, value: member, place } of membersOf(value)) {
    if (!blockTypes.includes(name)) attributes.push({ name, value: member, place });
    else blocks.push(...blocksOf(name, member));
  }
  return { attributes, blocks };
}

/** Lists the blocks of one type: members of an object, or of several in a list. */
function blocksOf(type: string, value: Expression): Block[] {
  const groups = value.kind === "list" ? value.items : [value];
  return groups.flatMap((group) =>
    membersOf(group).flatMap(({ name, value: body, place }) => {
      const bodies = body.kind === "list" ? body.items : [body];
      return bodies.map((one): Block => {
        const attributes = membersOf(one).filter((member) => member.name !== "validation");
        const checks = membersOf(one).filter((member) => member.name === "validation");
        const inner = checks.flatMap((check) =>
          (check.value.kind === "list" ? check.value.items : [check.value]).map((item): Block => ({
            type: "validation",
            labels: [],
            body: { attributes: membersOf(item), blocks: [] },
            place: check.place,
          })),
        );
        return { type, labels: [{ text: name, place }], body: { attributes, blocks: inner }, place };
      });
    }),
  );
}

function membersOf(value: Expression): Attribute[] {
  if (value.kind !== "object") throw syntaxFailure("Cannot read a definition: an object is expected here", value.place);
  return value.items
    .map(({ key, value: member }) => ({ name: keyText(key), value: member, place: key.place }))
    .filter(({ name }) => name !== "//");
}

function keyText(key: Expression): string {
  if (key.kind === "variable") return key.name;
  if (key.kind !== "template") throw syntaxFailure("Cannot read a definition: a name is expected here", key.place);
  return key.parts.map((part) => (part.kind === "text" ? part.text : "")).join("");
}

function parse<T>(
  source: SourceText,
  dialect: "hcl" | "json",
  read: (grammar: HclGrammar, tokens: T.HclToken[]) => T,
): T {
  const tokens = tokenize(source, dialect);
  const grammar = new HclGrammar();
  let result: T;
  try {
    result = read(grammar, tokens);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new BuildError("bake/syntax", `Cannot read ${source.name}: its expressions nest too deeply`);
  }
  const [error] = grammar.errors;
  if (error !== undefined) throw explain(error, source);
  return result;
}

/** Says what was met, and where the language expects something else. */
function explain(error: IRecognitionException, source: SourceText): BuildError {
  const { token } = error;
  const previousToken: unknown = "previousToken" in error ? error.previousToken : undefined;
  const place: Place =
    token instanceof T.HclToken ? token.place : { source, start: source.text.length, end: source.text.length };
  const met =
    token.tokenType === T.End || token.tokenType.name === "EOF"
      ? "the end of the file"
      : token.tokenType === T.Newline
        ? "the end of the line"
        : token.tokenType === T.Open
          ? "a text"
          : JSON.stringify(token.image);
  const behind =
    previousToken instanceof T.HclToken && previousToken.image.trim() !== ""
      ? ` behind ${JSON.stringify(previousToken.image)}`
      : "";
  return syntaxFailure(`Cannot read ${met}${behind}: something else is expected`, place, HINTS[token.tokenType.name]);
}

const HINTS: Readonly<Record<string, string>> = {
  Newline: "inside {}, each member stands on a line of its own or behind a comma",
  Identifier: "an attribute ends with its line, and the elements of a list are separated by commas",
  Open: "the elements of a list are separated by commas",
  BraceClose: "an attribute is name = value; a list ends with ]",
};
