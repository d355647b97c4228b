import { EmbeddedActionsParser, type IParserErrorMessageProvider, type IToken } from "chevrotain";
import type { Body, CommandNode, DeclarationNode, FlagLexeme, InstructionNode, Lexeme, PairNode } from "./ast.ts";
import * as T from "./tokens.ts";

/**
 * The grammar of one instruction. It is as strict as the language, so that a COPY without destination does not get
 * through; what to say about an error is decided elsewhere, from the keyword and the token that did not fit.
 */
export class InstructionGrammar extends EmbeddedActionsParser {
  /** `check` lets chevrotain look for ambiguities, which takes longer than the rest of its start-up; for tests. */
  constructor(mode: "check" | "trust") {
    super(T.VOCABULARY, { maxLookahead: 1, skipValidations: mode === "trust", errorMessageProvider: NO_MESSAGES });
    this.performSelfAnalysis();
  }

  readonly flags = this.RULE("flags", (): FlagLexeme[] => {
    const flags: FlagLexeme[] = [];
    this.MANY(() => {
      const token = this.CONSUME(T.Flag);
      this.ACTION(() => flags.push(flagOf(token)));
    });
    return flags;
  });

  /** `FROM image [AS name]` */
  readonly from = this.RULE("from", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    const base = lexemeOf(this.CONSUME(T.Word));
    let as: Lexeme | undefined;
    let name: Lexeme | undefined;
    this.OPTION(() => {
      as = lexemeOf(this.CONSUME(T.As));
      name = lexemeOf(this.CONSUME2(T.Word));
    });
    return { flags, body: { shape: "from", base, as, name } };
  });

  /** `COPY SRC... DEST` or `COPY ["SRC", ..., "DEST"]`: two words at least. */
  readonly copying = this.RULE("copying", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
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
    return { flags, body: { shape: "list", words } };
  });

  /** `EXPOSE 80 443`, `VOLUME /a /b`, `VOLUME ["/a"]`: one word at least. */
  readonly listing = this.RULE("listing", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
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
    return { flags, body: { shape: "list", words } };
  });

  /** `SHELL ["program", "argument"]` */
  readonly shell = this.RULE("shell", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    return { flags, body: { shape: "list", words: this.SUBRULE(this.jsonStrings) } };
  });

  readonly jsonStrings = this.RULE("jsonStrings", (): Lexeme[] => {
    const strings: Lexeme[] = [];
    this.CONSUME(T.JsonOpen);
    this.AT_LEAST_ONE(() => strings.push(lexemeOf(this.CONSUME(T.JsonString))));
    this.CONSUME(T.JsonClose);
    return strings;
  });

  /** `RUN ["program", "argument"]`, `RUN a line for the shell`, or nothing. */
  readonly running = this.RULE("running", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    let command: CommandNode = { form: "shell", text: undefined };
    this.OPTION(() => {
      command = this.SUBRULE(this.command);
    });
    return { flags, body: { shape: "command", command } };
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
  readonly assigning = this.RULE("assigning", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    const name = lexemeOf(this.CONSUME(T.Name));
    const body = this.OR([
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
    return { flags, body };
  });

  readonly pair = this.RULE("pair", (): PairNode => {
    const name = lexemeOf(this.CONSUME(T.Name));
    this.CONSUME(T.Equals);
    return { name, value: lexemeOf(this.CONSUME(T.Value)) };
  });

  /** `ARG name other=default` */
  readonly arg = this.RULE("arg", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
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
    return { flags, body: { shape: "declarations", declarations } };
  });

  /** `WORKDIR`, `USER`, `STOPSIGNAL`, `MAINTAINER`: the rest of the line, whatever it is. */
  readonly stating = this.RULE("stating", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    return { flags, body: { shape: "text", text: lexemeOf(this.CONSUME(T.Text)) } };
  });

  /** `HEALTHCHECK NONE` or `HEALTHCHECK CMD command` */
  readonly healthcheck = this.RULE("healthcheck", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
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
    return { flags, body: { shape: "healthcheck", command } };
  });

  /** `ONBUILD instruction`, which is read again when it is run. */
  readonly onbuild = this.RULE("onbuild", (): Arguments => {
    const flags = this.SUBRULE(this.flags);
    const trigger = lexemeOf(this.CONSUME(T.Trigger));
    return { flags, body: { shape: "onbuild", keyword: trigger, text: lexemeOf(this.CONSUME(T.Text)) } };
  });

  // Made once: the list would otherwise be made anew for every instruction.
  readonly #keywords = [
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Run);
        return this.SUBRULE(this.running);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Copy);
        return this.SUBRULE(this.copying);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Env);
        return this.SUBRULE(this.assigning);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Arg);
        return this.SUBRULE(this.arg);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.From);
        return this.SUBRULE(this.from);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Workdir);
        return this.SUBRULE(this.stating);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Label);
        return this.SUBRULE2(this.assigning);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Cmd);
        return this.SUBRULE2(this.running);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Entrypoint);
        return this.SUBRULE3(this.running);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Add);
        return this.SUBRULE2(this.copying);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.User);
        return this.SUBRULE2(this.stating);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Stopsignal);
        return this.SUBRULE3(this.stating);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Maintainer);
        return this.SUBRULE4(this.stating);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Expose);
        return this.SUBRULE(this.listing);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Volume);
        return this.SUBRULE2(this.listing);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Healthcheck);
        return this.SUBRULE(this.healthcheck);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Shell);
        return this.SUBRULE(this.shell);
      },
    },
    {
      ALT: (): Arguments => {
        this.CONSUME(T.Onbuild);
        return this.SUBRULE(this.onbuild);
      },
    },
  ];

  readonly instruction = this.RULE("instruction", (): InstructionNode => {
    const keyword = lexemeOf(this.LA(1));
    const { flags, body } = this.OR(this.#keywords);
    return { keyword, flags, body };
  });
}

/** What follows a keyword. */
type Arguments = Omit<InstructionNode, "keyword">;

/** What chevrotain's dry run over the rules sees, which has no real tokens. */
const NOTHING: FlagLexeme = { text: "", start: 0, end: 0, name: "", value: undefined };

function lexemeOf(token: IToken): Lexeme {
  return token instanceof T.LineToken ? token : NOTHING;
}

function flagOf(token: IToken): FlagLexeme {
  return token instanceof T.FlagToken ? token : NOTHING;
}

// Messages are ours, and making chevrotain's takes a hundred times longer than parsing the line.
const NO_MESSAGES: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: () => "",
  buildNotAllInputParsedMessage: () => "",
  buildNoViableAltMessage: () => "",
  buildEarlyExitMessage: () => "",
};
