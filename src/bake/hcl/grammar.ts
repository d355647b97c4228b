import type { IToken } from "chevrotain";
import type * as A from "./ast.ts";
import { ExpressionGrammar } from "./expression-grammar.ts";
import { join, nameOf, placeOf } from "./nodes.ts";
import * as T from "./tokens.ts";

/** The grammar of files: attributes and blocks, whose values are expressions. */
export class HclGrammar extends ExpressionGrammar {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

  /** Parses a file of attributes and blocks; when it is refused, `errors` is not empty. */
  readFile(tokens: IToken[]): A.Body {
    this.input = tokens;
    return this.file();
  }

  /** Parses one expression with nothing around it. */
  readExpression(tokens: IToken[]): A.Expression {
    this.input = tokens;
    return this.whole();
  }

  readonly file = this.RULE("file", (): A.Body => {
    const body = this.SUBRULE(this.body);
    this.CONSUME(T.End);
    return body;
  });

  readonly whole = this.RULE("whole", (): A.Expression => {
    this.MANY(() => this.CONSUME(T.Newline));
    const value = this.SUBRULE(this.expression);
    this.MANY2(() => this.CONSUME2(T.Newline));
    this.CONSUME(T.End);
    return value;
  });

  readonly body = this.RULE("body", (): A.Body => {
    const attributes: A.Attribute[] = [];
    const blocks: A.Block[] = [];
    this.MANY(() => {
      this.OR([
        { ALT: () => void this.CONSUME(T.Newline) },
        {
          ALT: () => {
            const name = nameOf(this.CONSUME(T.Identifier));
            this.OR2([
              { ALT: () => void attributes.push(this.SUBRULE(this.assignment, { ARGS: [name] })) },
              { ALT: () => void blocks.push(this.SUBRULE(this.block, { ARGS: [name] })) },
            ]);
          },
        },
      ]);
    });
    return { attributes, blocks };
  });

  /** `= value` and the end of its line; the last one of `type { name = value }` has none. */
  readonly assignment = this.RULE("assignment", (name: A.Name): A.Attribute => {
    this.CONSUME(T.Equals);
    const value = this.SUBRULE(this.expression);
    this.OR([
      { ALT: () => void this.CONSUME(T.Newline) },
      { GATE: () => [T.End, T.BraceClose].includes(this.LA(1).tokenType), ALT: () => undefined },
    ]);
    return { name: this.ACTION(() => name.text), value, place: this.ACTION(() => join(name.place, value.place)) };
  });

  readonly block = this.RULE("block", (type: A.Name): A.Block => {
    const labels: A.Name[] = [];
    this.MANY(() => {
      this.OR([
        { ALT: () => void labels.push(nameOf(this.CONSUME(T.Identifier))) },
        { ALT: () => void labels.push(this.SUBRULE(this.label)) },
      ]);
    });
    this.CONSUME(T.BraceOpen);
    const body = this.SUBRULE(this.body);
    this.CONSUME(T.BraceClose);
    const place = this.ACTION(() => labels.reduce((all, one) => join(all, one.place), type.place));
    return { type: this.ACTION(() => type.text), labels, body, place };
  });

  readonly label = this.RULE("label", (): A.Name => {
    const open = placeOf(this.CONSUME(T.Open));
    let text = "";
    this.OPTION(() => {
      text = this.CONSUME(T.Text).image;
    });
    const close = placeOf(this.CONSUME(T.Close));
    return { text, place: join(open, close) };
  });
}
