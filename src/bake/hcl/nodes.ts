import type { IToken } from "chevrotain";
import { SourceText } from "../../../lib/core/span.ts";
import type * as A from "./ast.ts";
import * as T from "./tokens.ts";

/** A placeholder for chevrotain's dry run over the rules, which has no real tokens. */
const NOWHERE: A.Place = { source: new SourceText("", ""), start: 0, end: 0 };

/** Returns where a token stands. */
export function placeOf(token: IToken): A.Place {
  return token instanceof T.HclToken ? token.place : NOWHERE;
}

/** Makes a name of a token. */
export function nameOf(token: IToken): A.Name {
  return { text: token.image, place: placeOf(token) };
}

/** Says at which sides a template sequence takes away blanks: `%{~ if a ~}`. */
export function trimOf(open: IToken, close: IToken): A.Trim {
  return {
    before: open instanceof T.HclToken && open.trims,
    after: close instanceof T.HclToken && close.trims,
  };
}

/** Returns the place from the start of one to the end of another. */
export function join(first: A.Place, last: A.Place): A.Place {
  return { source: first.source, start: first.start, end: Math.max(first.end, last.end) };
}

/** Makes the expression of an operator between two others. */
export function binary(token: IToken, left: A.Expression, right: A.Expression): A.Expression {
  const operator = OPERATORS.find((one) => one === token.image);
  if (operator === undefined) throw new Error(`No operator: ${token.image}`);
  return { kind: "binary", operator, left, right, place: join(left.place, right.place) };
}

const OPERATORS: readonly A.BinaryOperator[] = ["||", "&&", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"];

/** Makes the value of a word: `true`, `false` and `null` are literals, all others variables. */
export function wordValue({ text, place }: A.Name): A.Expression {
  if (text === "true" || text === "false") return { kind: "literal", value: text === "true", place };
  return text === "null" ? { kind: "literal", value: null, place } : { kind: "variable", name: text, place };
}
