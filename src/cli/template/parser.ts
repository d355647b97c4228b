import { templateError } from "./failure.ts";
import { type Token, scan } from "./scanner.ts";
import type { Command, Node, Nodes, Operand, Pipeline, Tree } from "./tree.ts";

/** Limit on nested blocks and parentheses: enough for people, and an endless text cannot use up the stack. */
const MAX_DEPTH = 200;

/**
 * Parses a template. `functions` are the names that may be called.
 * @throws {BuildError} `cli/template`
 */
export function parseTemplate(text: string, functions: ReadonlySet<string>): Tree {
  const parser = new Parser(text, functions);
  const body = parser.all();
  return { body, templates: parser.templates };
}

/** The reason why a list of nodes ended. */
type Ending = "end" | "else" | "eof";

class Parser {
  readonly templates = new Map<string, Nodes>();
  readonly #text: string;
  readonly #functions: ReadonlySet<string>;
  readonly #tokens: readonly Token[];
  #index = 0;
  #depth = 0;
  #loops = 0;
  #variables: string[] = ["$"];

  constructor(text: string, functions: ReadonlySet<string>) {
    this.#text = text;
    this.#functions = functions;
    this.#tokens = scan(text);
  }

  all(): Nodes {
    const { nodes, ending } = this.#nodes();
    if (ending === "eof") return nodes;
    throw this.#error(`{{${ending}}} closes nothing`, this.#tokens[this.#index - 1]);
  }

  #nodes(): { readonly nodes: Nodes; readonly ending: Ending } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.kind === "end") return { nodes, ending: "eof" };
      if (token.kind === "text") {
        nodes.push({ kind: "text", text: token.text });
        continue;
      }
      const word = this.#peek();
      const name = word.kind === "word" ? word.name : "";
      if (name === "end" || name === "else") {
        this.#take();
        if (name === "end") this.#close("end");
        return { nodes, ending: name };
      }
      const node = this.#action(name);
      if (node !== undefined) nodes.push(node);
    }
  }

  #action(word: string): Node | undefined {
    switch (word) {
      case "if":
      case "with":
      case "range":
        this.#take();
        return this.#block(word);
      case "define":
      case "block":
        this.#take();
        return this.#definition(word);
      case "template": {
        const { position } = this.#take();
        const name = this.#string("template");
        const pipeline = this.#peek().kind === "close" ? undefined : this.#pipeline();
        this.#close("template");
        return { kind: "template", name, pipeline, position };
      }
      case "break":
      case "continue": {
        const token = this.#take();
        if (this.#loops === 0) throw this.#error(`{{${word}}} is only for use inside {{range}}`, token);
        this.#close(word);
        return { kind: word };
      }
      default: {
        const pipeline = this.#pipeline();
        this.#close("action");
        return { kind: "action", pipeline };
      }
    }
  }

  #block(kind: "if" | "with" | "range"): Node {
    const opener = this.#peek();
    return this.#scoped(opener, () => {
      const pipeline = this.#pipeline(kind === "range");
      this.#close(kind);
      if (kind === "range") this.#loops++;
      const { nodes: body, ending } = this.#nodes();
      if (kind === "range") this.#loops--;
      if (ending === "eof") throw this.#error(`{{${kind}}} has no {{end}}`, opener);
      const otherwise = ending === "else" ? this.#otherwise(kind, opener) : [];
      return { kind, pipeline, body, otherwise };
    });
  }

  /** Reads what follows `{{else`. `{{else if x}}` is a block of its own that shares the end. */
  #otherwise(kind: "if" | "with" | "range", opener: Token): Nodes {
    const word = this.#peek();
    if (kind !== "range" && word.kind === "word" && word.name === kind) {
      this.#take();
      return [this.#block(kind)];
    }
    this.#close("else");
    const { nodes, ending } = this.#nodes();
    if (ending === "else") throw this.#error("a second {{else}}", this.#tokens[this.#index - 1]);
    if (ending === "eof") throw this.#error(`{{${kind}}} has no {{end}}`, opener);
    return nodes;
  }

  #definition(kind: "define" | "block"): Node | undefined {
    const opener = this.#peek();
    const name = this.#string(kind);
    const pipeline = kind === "block" ? this.#pipeline() : undefined;
    this.#close(kind);
    const outside = this.#variables;
    this.#variables = ["$"];
    const { nodes, ending } = this.#scoped(opener, () => this.#nodes());
    this.#variables = outside;
    if (ending !== "end") throw this.#error(`{{${kind}}} has no {{end}}`, opener);
    this.templates.set(name, nodes);
    return kind === "block" ? { kind: "template", name, pipeline, position: opener.position } : undefined;
  }

  #pipeline(isRange = false): Pipeline {
    const { position } = this.#peek();
    const { variables, isAssignment } = this.#declaration(isRange);
    const commands = [this.#command()];
    while (this.#isSign("|")) {
      this.#take();
      const command = this.#command();
      const [first] = command.operands;
      if (first?.kind === "literal") throw this.#error("a value cannot take what is piped into it", this.#peek());
      commands.push(command);
    }
    // Declared after the commands: the second one of `$x := $x` is the outer one.
    if (!isAssignment) this.#variables.push(...variables);
    return { variables, isAssignment, commands, position };
  }

  /** Reads `$x :=`, `$x =` or, for a range, `$i, $x :=`; takes nothing where there is none. */
  #declaration(isRange: boolean): Pick<Pipeline, "variables" | "isAssignment"> {
    const start = this.#index;
    const variables: string[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind !== "variable") break;
      this.#take();
      variables.push(token.name);
      if (!isRange || variables.length === 2 || !this.#isSign(",")) break;
      this.#take();
    }
    const isAssignment = this.#isSign("=");
    if (variables.length === 0 || !(isAssignment || this.#isSign(":="))) {
      this.#index = start;
      return { variables: [], isAssignment: false };
    }
    const sign = this.#take();
    const unknown = variables.find((name) => isAssignment && !this.#variables.includes(name));
    if (unknown !== undefined) throw this.#error(`the variable ${unknown} is not defined`, sign);
    return { variables, isAssignment };
  }

  #command(): Command {
    const { position } = this.#peek();
    const operands: Operand[] = [];
    for (;;) {
      const token = this.#peek();
      const isOver = token.kind === "close" || (token.kind === "sign" && (token.sign === "|" || token.sign === ")"));
      if (isOver) break;
      operands.push(this.#operand());
    }
    if (operands.length === 0) throw this.#error("a value is missing", this.#peek());
    const [first] = operands;
    if (first?.kind === "literal" && first.value === null) throw this.#error("nil is not a command", this.#peek());
    const takesArguments = first?.kind === "function" || (first !== undefined && first.fields.length > 0);
    if (operands.length > 1 && !takesArguments) {
      throw this.#error("only a function can have arguments", this.#tokens[this.#index - 1]);
    }
    const end = this.#tokens[this.#index - 1]?.end ?? position;
    return { operands, position, text: this.#text.slice(position, end).trim() };
  }

  #operand(): Operand {
    const token = this.#take();
    const { position } = token;
    if (token.kind === "field") return { kind: "dot", position, fields: [token.name, ...this.#fields()] };
    if (token.kind === "literal") return { kind: "literal", value: token.value, position, fields: this.#fields() };
    if (token.kind === "variable") {
      if (!this.#variables.includes(token.name)) throw this.#error(`the variable ${token.name} is not defined`, token);
      return { kind: "variable", name: token.name, position, fields: this.#fields() };
    }
    if (token.kind === "word") return this.#word(token.name, token);
    if (token.kind === "sign" && token.sign === ".") return { kind: "dot", position, fields: [] };
    if (token.kind === "sign" && token.sign === "(") {
      const pipeline = this.#scoped(token, () => this.#pipeline());
      if (!this.#isSign(")")) throw this.#error("a parenthesis is not closed", token);
      this.#take();
      return { kind: "pipeline", pipeline, position, fields: this.#fields() };
    }
    throw this.#error(`${JSON.stringify(this.#text.slice(position, token.end))} does not belong here`, token);
  }

  #word(name: string, token: Token): Operand {
    const { position } = token;
    if (name === "true" || name === "false") return { kind: "literal", value: name === "true", position, fields: [] };
    if (name === "nil") return { kind: "literal", value: null, position, fields: [] };
    if (this.#functions.has(name)) return { kind: "function", name, position, fields: this.#fields() };
    throw this.#error(
      `the function ${JSON.stringify(name)} is not defined`,
      token,
      `functions: ${[...this.#functions].join(", ")}`,
    );
  }

  /** Reads the fields that follow without a blank: `.B.C` of `.A.B.C`. */
  #fields(): string[] {
    const fields: string[] = [];
    for (;;) {
      const token = this.#peek();
      if (token.kind !== "field" || token.isAfterSpace) return fields;
      this.#take();
      fields.push(token.name);
    }
  }

  #string(what: string): string {
    const token = this.#take();
    if (token.kind === "literal" && typeof token.value === "string") return token.value;
    throw this.#error(`{{${what}}} needs a name in quotes`, token);
  }

  #close(what: string): void {
    const token = this.#take();
    if (token.kind === "close") return;
    throw this.#error(
      `${JSON.stringify(this.#text.slice(token.position, token.end))} does not belong here, in ${what}`,
      token,
    );
  }

  /** Parses a scope, with a limit on depth; its variables end with it. */
  #scoped<T>(token: Token, read: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw this.#error("it is nested too deeply", token);
    const count = this.#variables.length;
    try {
      return read();
    } finally {
      this.#variables.length = Math.min(count, this.#variables.length);
      this.#depth--;
    }
  }

  #isSign(sign: string): boolean {
    const token = this.#peek();
    return token.kind === "sign" && token.sign === sign;
  }

  #peek(): Token {
    const token = this.#tokens[this.#index];
    if (token === undefined) throw this.#error("it ends too early", undefined);
    return token;
  }

  #take(): Token {
    const token = this.#peek();
    this.#index++;
    return token;
  }

  #error(message: string, token: Token | undefined, hint?: string): Error {
    return templateError(this.#text, token?.position ?? this.#text.length, message, hint);
  }
}
