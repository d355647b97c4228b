import { BuildError } from "../../lib/core/errors.ts";
import type { SourceText } from "../../lib/core/span.ts";
import { type LogicalLine, OffsetSpan } from "./logical-line.ts";
import type { Heredoc } from "./heredoc.ts";

/** A search for bytes that cannot be passed on: invalid UTF-8 and zeros. Most files have none. */
export class EncodingCheck {
  readonly #source: SourceText;
  readonly #undecoded: ReadonlySet<number>;
  /** Ascending offsets. */
  readonly #offsets: readonly number[];

  constructor(source: SourceText) {
    this.#source = source;
    this.#undecoded = new Set(source.undecoded);
    const offsets = [...source.undecoded];
    for (let at = source.text.indexOf("\0"); at !== -1; at = source.text.indexOf("\0", at + 1)) offsets.push(at);
    this.#offsets = offsets.toSorted((a, b) => a - b);
  }

  /** Makes an error for the first such byte of an instruction or its here-documents. Comments may hold any byte. */
  errorOf(line: LogicalLine, heredocs: readonly Heredoc[], content: "command" | "files"): BuildError | undefined {
    if (this.#offsets.length === 0) return undefined;
    for (const offset of this.#offsets) {
      const isUndecoded = this.#undecoded.has(offset);
      const isInBody = heredocs.some(({ bodySpan }) => bodySpan.start.offset <= offset && offset < bodySpan.end.offset);
      // A file's content may hold zeros.
      if (line.covers(offset) || (isInBody && (isUndecoded || content === "command"))) {
        const what = isUndecoded ? "a byte that is not UTF-8" : "a zero byte";
        return new BuildError("dockerfile/encoding", `Cannot pass on ${what}`, {
          span: new OffsetSpan(this.#source, offset, offset + 1),
          hint: isUndecoded ? "save the file as UTF-8; a step can make such a byte: printf '\\351'" : "remove it",
        });
      }
    }
    return undefined;
  }
}
