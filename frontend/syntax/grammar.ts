import { EmbeddedActionsParser, type IParserErrorMessageProvider, type IToken } from "chevrotain";
import { unreachable } from "../../lib/core/errors.ts";
import type { Body, CommandNode, DeclarationNode, Lexeme, PairNode } from "./ast.ts";
import type { Keyword } from "./keywords.ts";
import * as T from "./tokens.ts";

/**
 * The grammar of an instruction's arguments, one rule per form. Keyword and flags have been read before. It is as
 * strict as the language: a COPY without a destination is refused. The error message is chosen elsewhere, from the
 * keyword and the token that did not fit.
 */
export class ArgumentGrammar extends EmbeddedActionsParser {
  /** `check` makes chevrotain look for ambiguities, for tests. That takes longer than the rest of its start-up. */
  constructor(mode: "check" | "trust") {
    super(T.VOCABULARY, { maxLookahead: 1, skipValidations: mode === "trust", errorMessageProvider: NO_MESSAGES });
    this.performSelfAnalysis();
  }

  /** Parses the arguments of one instruction; when they are refused, `errors` is not empty. */
  read(keyword: Keyword, tokens: IToken[]): Body {
    this.input = tokens;
    switch (keyword) {
      case "RUN":
      case "CMD":
      case "ENTRYPOINT":
        return this.running();
      case "COPY":
      case "ADD":
        return this.copying();
      case "ENV":
      case "LABEL":
        return this.assigning();
      case "ARG":
        return this.arg();
      case "FROM":
        return this.from();
      case "WORKDIR":
      case "USER":
      case "STOPSIGNAL":
      case "MAINTAINER":
        return this.stating();
      case "EXPOSE":
      case "VOLUME":
        return this.listing();
      case "HEALTHCHECK":
        return this.healthcheck();
      case "SHELL":
        return this.shell();
      case "ONBUILD":
        return this.onbuild();
      default:
        return unreachable(keyword);
    }
  }

  /** `FROM image [AS name]` */
  readonly from = this.RULE("from", (): Body => {
    const base = lexemeOf(this.CONSUME(T.Word));
    let as: Lexeme | undefined;
    let name: Lexeme | undefined;
    this.OPTION(() => {
      as = lexemeOf(this.CONSUME(T.As));
      name = lexemeOf(this.CONSUME2(T.Word));
    });
    return { shape: "from", base, as, name };
  });

  /** `COPY SRC... DEST` or `COPY ["SRC", ..., "DEST"]`: two words at least. */
  readonly copying = this.RULE("copying", (): Body => {
    const words: Lexeme[] = [];
    this.OR([
      {
        ALT: () => {
          words.push(lexemeOf(this.CONSUME(T.Word)));
          this.AT_LEAST_ONE(() => words.push(lexemeOf(this.CONSUME2(T.Word))));
        },
      },
      {
        ALT: () => {
          this.CONSUME(T.JsonOpen);
          words.push(lexemeOf(this.CONSUME(T.JsonString)));
          this.AT_LEAST_ONE2(() => words.push(lexemeOf(this.CONSUME2(T.JsonString))));
          this.CONSUME(T.JsonClose);
        },
      },
    ]);
    return { shape: "list", words };
  });

  /** `EXPOSE 80 443`, `VOLUME /a /b`, `VOLUME ["/a"]`: one word at least. */
  readonly listing = this.RULE("listing", (): Body => {
    const words = this.OR([
      {
        ALT: () => {
          const list: Lexeme[] = [];
          this.AT_LEAST_ONE(() => list.push(lexemeOf(this.CONSUME(T.Word))));
          return list;
        },
      },
      { ALT: () => this.SUBRULE(this.jsonStrings) },
    ]);
    return { shape: "list", words };
  });

  /** `SHELL ["program", "argument"]` */
  readonly shell = this.RULE("shell", (): Body => {
    return { shape: "list", words: this.SUBRULE(this.jsonStrings) };
  });

  readonly jsonStrings = this.RULE("jsonStrings", (): Lexeme[] => {
    const strings: Lexeme[] = [];
    this.CONSUME(T.JsonOpen);
    this.AT_LEAST_ONE(() => strings.push(lexemeOf(this.CONSUME(T.JsonString))));
    this.CONSUME(T.JsonClose);
    return strings;
  });

  /** `RUN ["program", "argument"]`, `RUN a line for the shell`, or nothing. */
  readonly running = this.RULE("running", (): Body => {
    let command: CommandNode = { form: "shell", text: undefined };
    this.OPTION(() => {
      command = this.SUBRULE(this.command);
    });
    return { shape: "command", command };
  });

  readonly command = this.RULE("command", (): CommandNode =>
    this.OR([
      { ALT: (): CommandNode => ({ form: "shell", text: lexemeOf(this.CONSUME(T.Text)) }) },
      {
        ALT: (): CommandNode => {
          const open = lexemeOf(this.CONSUME(T.JsonOpen));
          const argv: Lexeme[] = [];
          this.MANY(() => argv.push(lexemeOf(this.CONSUME(T.JsonString))));
          const close = lexemeOf(this.CONSUME(T.JsonClose));
          return { form: "exec", argv, start: open.start, end: close.end };
        },
      },
    ]),
  );

  /** `ENV name=value ...`, or one `ENV name rest of the line`. */
  readonly assigning = this.RULE("assigning", (): Body => {
    const name = lexemeOf(this.CONSUME(T.Name));
    return this.OR([
      {
        ALT: (): Body => {
          const pairs: PairNode[] = [];
          this.CONSUME(T.Equals);
          pairs.push({ name, value: lexemeOf(this.CONSUME(T.Value)) });
          this.MANY(() => pairs.push(this.SUBRULE(this.pair)));
          return { shape: "pairs", pairs, form: "pairs" };
        },
      },
      {
        ALT: (): Body => {
          const value = lexemeOf(this.CONSUME(T.LegacyValue));
          return { shape: "pairs", pairs: [{ name, value }], form: "legacy" };
        },
      },
    ]);
  });

  readonly pair = this.RULE("pair", (): PairNode => {
    const name = lexemeOf(this.CONSUME(T.Name));
    this.CONSUME(T.Equals);
    return { name, value: lexemeOf(this.CONSUME(T.Value)) };
  });

  /** `ARG name other=default` */
  readonly arg = this.RULE("arg", (): Body => {
    const declarations: DeclarationNode[] = [];
    this.AT_LEAST_ONE(() => {
      const name = lexemeOf(this.CONSUME(T.Name));
      let value: Lexeme | undefined;
      this.OPTION(() => {
        this.CONSUME(T.Equals);
        value = lexemeOf(this.CONSUME(T.Value));
      });
      declarations.push({ name, value });
    });
    return { shape: "declarations", declarations };
  });

  /** `WORKDIR`, `USER`, `STOPSIGNAL`, `MAINTAINER`: the rest of the line. */
  readonly stating = this.RULE("stating", (): Body => {
    return { shape: "text", text: lexemeOf(this.CONSUME(T.Text)) };
  });

  /** `HEALTHCHECK NONE` or `HEALTHCHECK CMD command` */
  readonly healthcheck = this.RULE("healthcheck", (): Body => {
    const command = this.OR([
      {
        ALT: () => {
          this.CONSUME(T.None);
          // An empty array counts as no argument.
          this.OPTION(() => {
            this.CONSUME(T.JsonOpen);
            this.CONSUME(T.JsonClose);
          });
          return undefined;
        },
      },
      {
        ALT: () => {
          this.CONSUME(T.Test);
          return this.SUBRULE(this.command);
        },
      },
    ]);
    return { shape: "healthcheck", command };
  });

  /** `ONBUILD instruction`; the trigger is parsed again when it runs. */
  readonly onbuild = this.RULE("onbuild", (): Body => {
    const trigger = lexemeOf(this.CONSUME(T.Trigger));
    return { shape: "onbuild", keyword: trigger, text: lexemeOf(this.CONSUME(T.Text)) };
  });
}

/** A placeholder for chevrotain's dry run over the rules, which has no real tokens. */
const NOTHING: Lexeme = { text: "", start: 0, end: 0 };

function lexemeOf(token: IToken): Lexeme {
  return token instanceof T.LineToken ? token : NOTHING;
}

// The messages are ours. Chevrotain's take a hundred times longer than parsing the line.
const NO_MESSAGES: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: () => "",
  buildNotAllInputParsedMessage: () => "",
  buildNoViableAltMessage: () => "",
  buildEarlyExitMessage: () => "",
};
