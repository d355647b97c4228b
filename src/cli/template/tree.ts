/** A node of a parsed template. `position` counts UTF-16 units from the template's start. */
export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "action"; readonly pipeline: Pipeline }
  | { readonly kind: "if" | "with"; readonly pipeline: Pipeline; readonly body: Nodes; readonly otherwise: Nodes }
  | { readonly kind: "range"; readonly pipeline: Pipeline; readonly body: Nodes; readonly otherwise: Nodes }
  | {
      readonly kind: "template";
      readonly name: string;
      readonly pipeline: Pipeline | undefined;
      readonly position: number;
    }
  | { readonly kind: "break" | "continue" };

export type Nodes = readonly Node[];

/** `$x, $y := a | b c`. */
export interface Pipeline {
  readonly variables: readonly string[];
  /** `$x = ...` gives a new value to a variable that exists. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
  readonly position: number;
}

/** An operand alone, or a function and its arguments. */
export interface Command {
  readonly operands: readonly Operand[];
  readonly position: number;
  /** The command's source text, for messages. */
  readonly text: string;
}

export type Operand = { readonly position: number; readonly fields: readonly string[] } & (
  | { readonly kind: "dot" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "pipeline"; readonly pipeline: Pipeline }
);

/** A whole template and those that it defines. */
export interface Tree {
  readonly body: Nodes;
  readonly templates: ReadonlyMap<string, Nodes>;
}
