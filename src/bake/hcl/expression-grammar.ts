import { EmbeddedActionsParser, type IParserErrorMessageProvider, type IToken } from "chevrotain";
import type * as A from "./ast.ts";
import { binary, join, nameOf, placeOf, trimOf, wordValue } from "./nodes.ts";
import * as T from "./tokens.ts";

/** The grammar of expressions and of the templates in them: one rule per form. What extends it analyses itself. */
export class ExpressionGrammar extends EmbeddedActionsParser {
  constructor() {
    super(T.VOCABULARY, { maxLookahead: 2, skipValidations: true, errorMessageProvider: NO_MESSAGES });
  }

  readonly expression = this.RULE("expression", (): A.Expression => {
    const condition = this.SUBRULE(this.disjunction);
    let result = condition;
    this.OPTION(() => {
      this.CONSUME(T.Question);
      const whenTrue = this.SUBRULE(this.expression);
      this.CONSUME(T.Colon);
      const whenFalse = this.SUBRULE2(this.expression);
      result = {
        kind: "conditional",
        condition,
        whenTrue,
        whenFalse,
        place: this.ACTION(() => join(condition.place, whenFalse.place)),
      };
    });
    return result;
  });

  readonly disjunction = this.RULE("disjunction", (): A.Expression => {
    let left = this.SUBRULE(this.conjunction);
    this.MANY(() => {
      const operator = this.CONSUME(T.Or);
      const right = this.SUBRULE2(this.conjunction);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly conjunction = this.RULE("conjunction", (): A.Expression => {
    let left = this.SUBRULE(this.equality);
    this.MANY(() => {
      const operator = this.CONSUME(T.And);
      const right = this.SUBRULE2(this.equality);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly equality = this.RULE("equality", (): A.Expression => {
    let left = this.SUBRULE(this.comparison);
    this.MANY(() => {
      const operator = this.CONSUME(T.Equality);
      const right = this.SUBRULE2(this.comparison);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly comparison = this.RULE("comparison", (): A.Expression => {
    let left = this.SUBRULE(this.sum);
    this.MANY(() => {
      const operator = this.CONSUME(T.Comparison);
      const right = this.SUBRULE2(this.sum);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly sum = this.RULE("sum", (): A.Expression => {
    let left = this.SUBRULE(this.product);
    this.MANY(() => {
      const operator = this.OR([{ ALT: () => this.CONSUME(T.Plus) }, { ALT: () => this.CONSUME(T.Minus) }]);
      const right = this.SUBRULE2(this.product);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly product = this.RULE("product", (): A.Expression => {
    let left = this.SUBRULE(this.unary);
    this.MANY(() => {
      const operator = this.CONSUME(T.Product);
      const right = this.SUBRULE2(this.unary);
      left = this.ACTION(() => binary(operator, left, right));
    });
    return left;
  });

  readonly unary = this.RULE("unary", (): A.Expression => {
    const signs: IToken[] = [];
    this.MANY(() => {
      signs.push(this.OR([{ ALT: () => this.CONSUME(T.Minus) }, { ALT: () => this.CONSUME(T.Not) }]));
    });
    const value = this.SUBRULE(this.term);
    return this.ACTION(() =>
      signs.reduceRight<A.Expression>(
        (inner, sign) => ({
          kind: "unary",
          operator: sign.image === "!" ? "!" : "-",
          value: inner,
          place: join(placeOf(sign), inner.place),
        }),
        value,
      ),
    );
  });

  /** A value and what is taken out of it. */
  readonly term = this.RULE("term", (): A.Expression => {
    const value = this.SUBRULE(this.primary);
    return this.SUBRULE(this.steps, { ARGS: [value] });
  });

  readonly steps = this.RULE("steps", (start: A.Expression): A.Expression => {
    let value = start;
    this.MANY(() => {
      this.OR([
        { ALT: () => void (value = this.SUBRULE(this.attributeStep, { ARGS: [value] })) },
        { ALT: () => void (value = this.SUBRULE(this.indexStep, { ARGS: [value] })) },
        { ALT: () => void (value = this.SUBRULE(this.splat, { ARGS: [value] })) },
      ]);
    });
    return value;
  });

  /** `.name`, or `.0` as in older files. */
  readonly attributeStep = this.RULE("attributeStep", (value: A.Expression): A.Expression => {
    this.CONSUME(T.Dot);
    const step = this.OR([{ ALT: () => this.CONSUME(T.Identifier) }, { ALT: () => this.CONSUME(T.NumberText) }]);
    return this.ACTION((): A.Expression => {
      const place = join(value.place, placeOf(step));
      if (step.tokenType !== T.NumberText) return { kind: "attribute", value, name: step.image, place };
      // The lexer takes `.0.1` for a number behind a dot.
      return step.image.split(".").reduce<A.Expression>((inner, digits) => {
        const key: A.Expression = { kind: "literal", value: Number(digits), place: placeOf(step) };
        return { kind: "index", value: inner, key, place };
      }, value);
    });
  });

  readonly indexStep = this.RULE("indexStep", (value: A.Expression): A.Expression => {
    this.CONSUME(T.BracketOpen);
    const key = this.SUBRULE(this.expression);
    const close = this.CONSUME(T.BracketClose);
    return this.ACTION(() => ({ kind: "index", value, key, place: join(value.place, placeOf(close)) }));
  });

  /** `[*]` takes every step behind it to the elements, `.*` only names. */
  readonly splat = this.RULE("splat", (value: A.Expression): A.Expression => {
    let each: A.Expression = this.ACTION(() => ({ kind: "variable", name: "", place: value.place }));
    this.OR([
      {
        ALT: () => {
          this.CONSUME(T.FullSplat);
          each = this.SUBRULE(this.steps, { ARGS: [each] });
        },
      },
      {
        ALT: () => {
          this.CONSUME(T.AttributeSplat);
          this.MANY(() => {
            each = this.SUBRULE(this.attributeStep, { ARGS: [each] });
          });
        },
      },
    ]);
    return this.ACTION(() => ({ kind: "splat", value, each, place: join(value.place, each.place) }));
  });

  readonly primary = this.RULE("primary", (): A.Expression =>
    this.OR([
      { ALT: () => this.SUBRULE(this.number) },
      { ALT: () => this.SUBRULE(this.nameOrCall) },
      { ALT: () => this.SUBRULE(this.template) },
      { ALT: () => this.SUBRULE(this.grouped) },
      { ALT: () => this.SUBRULE(this.list) },
      { ALT: () => this.SUBRULE(this.object) },
    ]),
  );

  readonly number = this.RULE("number", (): A.Expression => {
    const token = this.CONSUME(T.NumberText);
    return { kind: "literal", value: Number(token.image), place: placeOf(token) };
  });

  readonly grouped = this.RULE("grouped", (): A.Expression => {
    const open = placeOf(this.CONSUME(T.ParenOpen));
    const value = this.SUBRULE(this.expression);
    const close = placeOf(this.CONSUME(T.ParenClose));
    return { kind: "group", value, place: join(open, close) };
  });

  readonly nameOrCall = this.RULE("nameOrCall", (): A.Expression => {
    const name = nameOf(this.CONSUME(T.Identifier));
    let result: A.Expression = wordValue(name);
    this.OPTION(() => {
      this.CONSUME(T.ParenOpen);
      const args: A.Expression[] = [];
      let expandsLast = false;
      this.OPTION2(() => {
        args.push(this.SUBRULE(this.expression));
        this.MANY({
          GATE: () => this.LA(2).tokenType !== T.ParenClose,
          DEF: () => {
            this.CONSUME(T.Comma);
            args.push(this.SUBRULE2(this.expression));
          },
        });
        this.OPTION3(() => {
          this.OR([
            { ALT: () => void this.CONSUME2(T.Comma) },
            {
              ALT: () => {
                this.CONSUME(T.Ellipsis);
                expandsLast = true;
              },
            },
          ]);
        });
      });
      const close = this.CONSUME(T.ParenClose);
      result = { kind: "call", name, args, expandsLast, place: join(name.place, placeOf(close)) };
    });
    return result;
  });

  readonly list = this.RULE("list", (): A.Expression => {
    const open = placeOf(this.CONSUME(T.BracketOpen));
    let result: A.Expression | undefined;
    const items: A.Expression[] = [];
    this.OR([
      {
        ALT: () => {
          const loop = this.SUBRULE(this.loop);
          const value = this.SUBRULE(this.expression);
          const condition = this.SUBRULE(this.loopCondition);
          const close = placeOf(this.CONSUME(T.BracketClose));
          const place = join(open, close);
          result = this.ACTION(() => ({
            kind: "for",
            ...loop,
            key: undefined,
            value,
            condition,
            groups: false,
            place,
          }));
        },
      },
      {
        ALT: () => {
          this.MANY(() => {
            items.push(this.SUBRULE2(this.expression));
            this.OR2([
              { ALT: () => void this.CONSUME(T.Comma) },
              { GATE: () => this.LA(1).tokenType === T.BracketClose, ALT: () => undefined },
            ]);
          });
          const close = placeOf(this.CONSUME2(T.BracketClose));
          result = { kind: "list", items, place: join(open, close) };
        },
      },
    ]);
    return result ?? { kind: "list", items, place: open };
  });

  readonly object = this.RULE("object", (): A.Expression => {
    const open = placeOf(this.CONSUME(T.BraceOpen));
    let result: A.Expression | undefined;
    const items: A.ObjectItem[] = [];
    this.OR([
      {
        ALT: () => {
          const loop = this.SUBRULE(this.loop);
          const key = this.SUBRULE(this.expression);
          this.CONSUME(T.Arrow);
          const value = this.SUBRULE2(this.expression);
          let groups = false;
          this.OPTION(() => {
            this.CONSUME(T.Ellipsis);
            groups = true;
          });
          const condition = this.SUBRULE(this.loopCondition);
          const place = join(open, placeOf(this.CONSUME(T.BraceClose)));
          result = this.ACTION(() => ({ kind: "for", ...loop, key, value, condition, groups, place }));
        },
      },
      {
        ALT: () => {
          this.MANY(() => {
            this.OR2([
              { ALT: () => void this.CONSUME(T.Newline) },
              { ALT: () => void items.push(this.SUBRULE(this.item)) },
            ]);
          });
          const close = placeOf(this.CONSUME2(T.BraceClose));
          result = { kind: "object", items, place: join(open, close) };
        },
      },
    ]);
    return result ?? { kind: "object", items, place: open };
  });

  /** `key = value` or `key: value`, with the comma or the line's end behind it. */
  readonly item = this.RULE("item", (): A.ObjectItem => {
    const key = this.SUBRULE(this.expression);
    this.OR([{ ALT: () => this.CONSUME(T.Equals) }, { ALT: () => this.CONSUME(T.Colon) }]);
    const value = this.SUBRULE2(this.expression);
    this.OR2([
      { ALT: () => void this.CONSUME(T.Comma) },
      { ALT: () => void this.CONSUME(T.Newline) },
      { GATE: () => this.LA(1).tokenType === T.BraceClose, ALT: () => undefined },
    ]);
    return { key, value };
  });

  /** `for key, value in list :` */
  readonly loop = this.RULE("loop", (): { readonly names: A.LoopNames; readonly list: A.Expression } => {
    this.CONSUME(T.For);
    const names = this.SUBRULE(this.loopNames);
    this.CONSUME(T.In);
    const list = this.SUBRULE(this.expression);
    this.CONSUME(T.Colon);
    return { names, list };
  });

  readonly loopNames = this.RULE("loopNames", (): A.LoopNames => {
    const first = this.CONSUME(T.Identifier).image;
    let second: string | undefined;
    this.OPTION(() => {
      this.CONSUME(T.Comma);
      second = this.CONSUME2(T.Identifier).image;
    });
    return second === undefined ? { key: undefined, value: first } : { key: first, value: second };
  });

  readonly loopCondition = this.RULE("loopCondition", (): A.Expression | undefined => {
    let condition: A.Expression | undefined;
    this.OPTION(() => {
      this.CONSUME(T.If);
      condition = this.SUBRULE(this.expression);
    });
    return condition;
  });

  readonly template = this.RULE("template", (): A.Expression => {
    const open = placeOf(this.CONSUME(T.Open));
    const parts = this.SUBRULE(this.parts);
    const close = placeOf(this.CONSUME(T.Close));
    return { kind: "template", parts, place: join(open, close) };
  });

  readonly parts = this.RULE("parts", (): A.TemplatePart[] => {
    const parts: A.TemplatePart[] = [];
    this.MANY(() => {
      this.OR([
        { ALT: () => void parts.push({ kind: "text", text: this.CONSUME(T.Text).image }) },
        {
          ALT: () => {
            const open = this.CONSUME(T.Interpolation);
            const value = this.SUBRULE(this.expression);
            const close = this.CONSUME(T.SequenceEnd);
            parts.push({ kind: "value", value, trim: trimOf(open, close) });
          },
        },
        { ALT: () => void parts.push(this.SUBRULE(this.templateIf)) },
        { ALT: () => void parts.push(this.SUBRULE(this.templateFor)) },
      ]);
    });
    return parts;
  });

  readonly templateIf = this.RULE("templateIf", (): A.TemplatePart => {
    const open = this.CONSUME(T.ControlIf);
    const condition = this.SUBRULE(this.expression);
    const begin = trimOf(open, this.CONSUME(T.SequenceEnd));
    const whenTrue = this.SUBRULE(this.parts);
    let middle: A.Trim | undefined;
    let whenFalse: A.TemplatePart[] = [];
    this.OPTION(() => {
      const token = this.CONSUME(T.ControlElse);
      middle = trimOf(token, this.CONSUME2(T.SequenceEnd));
      whenFalse = this.SUBRULE2(this.parts);
    });
    const endif = this.CONSUME(T.ControlEndif);
    const end = trimOf(endif, this.CONSUME3(T.SequenceEnd));
    return { kind: "if", condition, whenTrue, whenFalse, begin, middle, end };
  });

  readonly templateFor = this.RULE("templateFor", (): A.TemplatePart => {
    const open = this.CONSUME(T.ControlFor);
    const names = this.SUBRULE(this.loopNames);
    this.CONSUME(T.In);
    const list = this.SUBRULE(this.expression);
    const begin = trimOf(open, this.CONSUME(T.SequenceEnd));
    const parts = this.SUBRULE(this.parts);
    const endfor = this.CONSUME(T.ControlEndfor);
    const end = trimOf(endfor, this.CONSUME2(T.SequenceEnd));
    return { kind: "for", names, list, parts, begin, end };
  });
}

// The messages are ours: see parse.ts.
const NO_MESSAGES: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: () => "",
  buildNotAllInputParsedMessage: () => "",
  buildNoViableAltMessage: () => "",
  buildEarlyExitMessage: () => "",
};
