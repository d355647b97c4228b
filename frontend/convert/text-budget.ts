import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";

/**
 * Limit in UTF-16 code units. With JSON's escapes, and repeated in the history, the text still fits one JavaScript
 * string.
 */
const MAX_TOTAL = 32 * 1024 * 1024;

/**
 * A limit on the text that all substitutions of one Dockerfile produce together. Each word has its own limit, but a
 * file has many words: one variable of a few megabytes may be used in a thousand labels, or be declared before a
 * thousand commands that show it in their history.
 */
export class TextBudget {
  #left = MAX_TOTAL;

  /**
   * Takes `length` characters from the budget.
   * @throws {BuildError} `dockerfile/expansion` when nothing is left
   */
  take(length: number, span: Span): void {
    this.#left -= length;
    if (this.#left >= 0) return;
    const message = `the texts that variables stand for are longer than ${String(MAX_TOTAL)} characters together`;
    throw new BuildError("dockerfile/expansion", message, { span, hint: "put long values into files and COPY them" });
  }
}
