import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";

/** UTF-16 code units: with the escapes of JSON, and once more in the history, still one string of JavaScript's. */
const MAX_TOTAL = 32 * 1024 * 1024;

/**
 * Counts what the substitutions of one Dockerfile make, all together. Each word has a bound of its own, but a file has many: one
 * variable of a few megabytes named in a thousand labels, or declared before a thousand commands, whose history names it.
 */
export class TextBudget {
  #left = MAX_TOTAL;

  /** @throws {BuildError} `dockerfile/expansion` when it is used up */
  take(length: number, span: Span): void {
    this.#left -= length;
    if (this.#left >= 0) return;
    const message = `the texts that variables stand for are longer than ${String(MAX_TOTAL)} characters together`;
    throw new BuildError("dockerfile/expansion", message, { span, hint: "put long values into files and COPY them" });
  }
}
