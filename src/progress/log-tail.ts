import { plainOutput } from "../../lib/core/printable.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";

/** Lines kept of a step's output, enough to fill a window of any size. */
const KEPT_LINES = 50;

/** The last lines of a step's output, as a terminal would show them: escape sequences dropped, "\r" starts over. */
export class LogTail {
  readonly #lines: string[] = [];
  #partial = "";

  add(event: ProgressEvent & { readonly kind: "log" }): void {
    const lines = (this.#partial + event.data).split("\n");
    this.#partial = (lines.pop() ?? "").slice(-4096);
    for (const line of lines.slice(-KEPT_LINES)) this.#lines.push(visible(line.slice(-4096)));
    if (this.#lines.length > KEPT_LINES) this.#lines.splice(0, this.#lines.length - KEPT_LINES);
  }

  last(count: number): string[] {
    const open = visible(this.#partial);
    return [...this.#lines, ...(open === "" ? [] : [open])].slice(-Math.max(0, count));
  }
}

function visible(line: string): string {
  const afterReturn = line.replace(/\r+$/, "");
  return plainOutput(afterReturn.slice(afterReturn.lastIndexOf("\r") + 1));
}
