import { printableJson } from "../../lib/core/printable.ts";
import { plainDisplay } from "./plain.ts";
import { ttyDisplay } from "./tty.ts";
import type { ProgressOutput, ProgressDisplay } from "./display.ts";

/** `quiet` and `none` show nothing; errors and the result are the caller's to print. */
export type ProgressMode = "tty" | "plain" | "rawjson" | "quiet" | "none";

export function createProgress(mode: ProgressMode, output: ProgressOutput): ProgressDisplay {
  switch (mode) {
    case "tty":
      return ttyDisplay(output);
    case "plain":
      return plainDisplay(output);
    case "rawjson":
      return { sink: (event) => output.write(`${printableJson(event)}\n`), finish: () => {} };
    case "quiet":
    case "none":
      return { sink: () => {}, finish: () => {} };
    default:
      return mode satisfies never;
  }
}
