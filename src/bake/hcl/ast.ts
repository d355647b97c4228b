import type { SourceText } from "../../../lib/core/span.ts";
import type { Value } from "./value.ts";

/** A stretch of a file. Lines and columns are computed when an error needs them. */
export interface Place {
  readonly source: SourceText;
  readonly start: number;
  readonly end: number;
}

/** An identifier, with its place. */
export interface Name {
  readonly text: string;
  readonly place: Place;
}

/** A file, or what stands between the braces of a block. */
export interface Body {
  readonly attributes: readonly Attribute[];
  readonly blocks: readonly Block[];
}

/** `name = value` */
export interface Attribute {
  readonly name: string;
  readonly value: Expression;
  readonly place: Place;
}

/** `type "label" { ... }` */
export interface Block {
  readonly type: string;
  readonly labels: readonly Name[];
  readonly body: Body;
  readonly place: Place;
}

export type Expression =
  | { readonly kind: "literal"; readonly value: Value; readonly place: Place }
  | { readonly kind: "variable"; readonly name: string; readonly place: Place }
  | TemplateExpression
  | { readonly kind: "list"; readonly items: readonly Expression[]; readonly place: Place }
  | { readonly kind: "object"; readonly items: readonly ObjectItem[]; readonly place: Place }
  | { readonly kind: "group"; readonly value: Expression; readonly place: Place }
  | CallExpression
  | { readonly kind: "attribute"; readonly value: Expression; readonly name: string; readonly place: Place }
  | { readonly kind: "index"; readonly value: Expression; readonly key: Expression; readonly place: Place }
  | SplatExpression
  | UnaryExpression
  | BinaryExpression
  | ConditionalExpression
  | ForExpression;

/** A quoted text or a here-document. */
export interface TemplateExpression {
  readonly kind: "template";
  readonly parts: readonly TemplatePart[];
  readonly place: Place;
}

export type TemplatePart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly value: Expression; readonly trim: Trim }
  | TemplateIf
  | TemplateFor;

/** `%{ if condition } ... %{ else } ... %{ endif }` */
export interface TemplateIf {
  readonly kind: "if";
  readonly condition: Expression;
  readonly whenTrue: readonly TemplatePart[];
  readonly whenFalse: readonly TemplatePart[];
  readonly begin: Trim;
  /** The Trim of `else`, where there is one. */
  readonly middle: Trim | undefined;
  readonly end: Trim;
}

/** `%{ for key, value in list } ... %{ endfor }` */
export interface TemplateFor {
  readonly kind: "for";
  readonly names: LoopNames;
  readonly list: Expression;
  readonly parts: readonly TemplatePart[];
  readonly begin: Trim;
  readonly end: Trim;
}

/** The sides of a sequence with a `~`: white space beside it is not part of the text. */
export interface Trim {
  readonly before: boolean;
  readonly after: boolean;
}

export interface LoopNames {
  readonly key: string | undefined;
  readonly value: string;
}

export interface ObjectItem {
  readonly key: Expression;
  readonly value: Expression;
}

export interface CallExpression {
  readonly kind: "call";
  readonly name: Name;
  readonly args: readonly Expression[];
  /** True for `f(list...)`: the last argument stands for as many as it has elements. */
  readonly expandsLast: boolean;
  readonly place: Place;
}

/** `list[*].name`; `steps` are what follows the star. */
export interface SplatExpression {
  readonly kind: "splat";
  readonly value: Expression;
  /** Applied to the variable `""`, which is each element in turn. */
  readonly each: Expression;
  readonly place: Place;
}

export interface UnaryExpression {
  readonly kind: "unary";
  readonly operator: "-" | "!";
  readonly value: Expression;
  readonly place: Place;
}

export type BinaryOperator = "||" | "&&" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "+" | "-" | "*" | "/" | "%";

export interface BinaryExpression {
  readonly kind: "binary";
  readonly operator: BinaryOperator;
  readonly left: Expression;
  readonly right: Expression;
  readonly place: Place;
}

export interface ConditionalExpression {
  readonly kind: "conditional";
  readonly condition: Expression;
  readonly whenTrue: Expression;
  readonly whenFalse: Expression;
  readonly place: Place;
}

export interface ForExpression {
  readonly kind: "for";
  readonly names: LoopNames;
  readonly list: Expression;
  /** The key of an object's member; `undefined` makes a list. */
  readonly key: Expression | undefined;
  readonly value: Expression;
  readonly condition: Expression | undefined;
  /** True for `=> value...`: values with one key become a list. */
  readonly groups: boolean;
  readonly place: Place;
}
