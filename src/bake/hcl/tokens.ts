import { createToken, type IToken, type TokenType } from "chevrotain";
import type { SourceText } from "../../../lib/core/span.ts";
import type { Place } from "./ast.ts";

/** Makes a token type. Our own lexer matches them: what a character means depends on the templates around it. */
function type(name: string, ...categories: TokenType[]): TokenType {
  return createToken({ name, pattern: /NEVER/, categories });
}

export const Newline = type("Newline");
export const Identifier = type("Identifier");
/** `in` and `if` are words of `for` expressions, and names everywhere else. */
export const In = type("In", Identifier);
export const If = type("If", Identifier);
/** The word behind the bracket of a `for` expression. */
export const For = type("For");
export const NumberText = type("NumberText");
/** The beginning and the end of a quoted text or a here-document. */
export const Open = type("Open");
export const Close = type("Close");
/** Text of a template, escapes resolved. */
export const Text = type("Text");
export const Interpolation = type("Interpolation");
export const ControlIf = type("ControlIf");
export const ControlElse = type("ControlElse");
export const ControlEndif = type("ControlEndif");
export const ControlFor = type("ControlFor");
export const ControlEndfor = type("ControlEndfor");
/** The brace that ends a sequence of a template. */
export const SequenceEnd = type("SequenceEnd");
export const BraceOpen = type("BraceOpen");
export const BraceClose = type("BraceClose");
export const ParenOpen = type("ParenOpen");
export const ParenClose = type("ParenClose");
export const BracketOpen = type("BracketOpen");
export const BracketClose = type("BracketClose");
/** `.*` and `[*]` */
export const AttributeSplat = type("AttributeSplat");
export const FullSplat = type("FullSplat");
export const Comma = type("Comma");
export const Dot = type("Dot");
export const Ellipsis = type("Ellipsis");
export const Colon = type("Colon");
export const Question = type("Question");
export const Equals = type("Equals");
export const Arrow = type("Arrow");
export const Or = type("Or");
export const And = type("And");
export const Equality = type("Equality");
export const Comparison = type("Comparison");
export const Minus = type("Minus");
export const Plus = type("Plus");
export const Product = type("Product");
export const Not = type("Not");
export const End = type("End");

/** All types, for the parser. */
export const VOCABULARY: TokenType[] = [
  ...[Newline, Identifier, In, If, For, NumberText, Open, Close, Text, Interpolation, SequenceEnd],
  ...[ControlIf, ControlElse, ControlEndif, ControlFor, ControlEndfor, AttributeSplat, FullSplat],
  ...[BraceOpen, BraceClose, ParenOpen, ParenClose, BracketOpen, BracketClose, Comma, Dot, Ellipsis, Colon],
  ...[Question, Equals, Arrow, Or, And, Equality, Comparison, Minus, Plus, Product, Not, End],
];

/** Operators and brackets, longer ones first. */
export const SIGNS: readonly (readonly [text: string, type: TokenType])[] = [
  ["...", Ellipsis],
  ["[*]", FullSplat],
  ["=>", Arrow],
  ["||", Or],
  ["&&", And],
  ["==", Equality],
  ["!=", Equality],
  ["<=", Comparison],
  [">=", Comparison],
  [".*", AttributeSplat],
  ["<", Comparison],
  [">", Comparison],
  ["{", BraceOpen],
  ["}", BraceClose],
  ["(", ParenOpen],
  [")", ParenClose],
  ["[", BracketOpen],
  ["]", BracketClose],
  [",", Comma],
  [".", Dot],
  [":", Colon],
  ["?", Question],
  ["=", Equals],
  ["-", Minus],
  ["+", Plus],
  ["*", Product],
  ["/", Product],
  ["%", Product],
  ["!", Not],
];

/** A token with its place. `image` is its text, for Text without escapes. */
export class HclToken implements IToken {
  readonly tokenType: TokenType;
  readonly tokenTypeIdx: number;
  readonly image: string;
  readonly place: Place;
  /** A `~` at the outer side of a sequence's beginning or end. */
  readonly trims: boolean;

  constructor(kind: TokenType, image: string, place: Place, trims = false) {
    this.tokenType = kind;
    this.tokenTypeIdx = kind.tokenTypeIdx ?? 0;
    this.image = image;
    this.place = place;
    this.trims = trims;
  }

  get startOffset(): number {
    return this.place.start;
  }

  get endOffset(): number {
    return this.place.end - 1;
  }
}

/** Makes a place that reaches from one to the other. */
export function spanning(source: SourceText, start: number, end: number): Place {
  return { source, start, end };
}
