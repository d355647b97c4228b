import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { BuildError, ERROR_CODES, messageOf } from "../../../lib/core/errors.ts";
import { didYouMean } from "../../../lib/core/suggest.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { table } from "../table.ts";

/** Declares `kiln explain`: prints the page of an error's code. */
export function explainCommand(program: Command, cli: Cli): void {
  command(program, cli, "explain [code]", async (context, [code]) => {
    const pages = readPages(context);
    if (code === undefined) {
      const rows = ERROR_CODES.map((one) => [one, firstSentence(pages.get(one) ?? "")]);
      for (const line of table(["CODE", "WHAT IT SAYS"], rows)) context.print(line);
      return;
    }
    // As it stands in the message: error[registry/denied].
    const name = code.replace(/^error\[(.*?)\]:?$/, "$1");
    const page = pages.get(name);
    if (page === undefined) {
      throw new BuildError(
        "cli/usage",
        `No error has the code ${JSON.stringify(code)}${didYouMean(name, ERROR_CODES)}`,
        {
          hint: '"kiln explain" lists all codes',
        },
      );
    }
    context.print(page.trimEnd());
  })
    .description("print the page of an error: why it comes, an example and what to do; without a code, list them")
    .addHelpText(
      "after",
      examples([
        ["kiln explain dockerfile/syntax", "the code stands in the message: error[dockerfile/syntax]"],
        ["kiln explain", "all codes"],
      ]),
    );
}

function readPages({ host }: CommandContext): ReadonlyMap<string, string> {
  const file = join(host.partsDirectory, "errors.json");
  try {
    const pages: unknown = JSON.parse(readFileSync(file, "utf8"));
    return new Map(Object.entries(pages ?? {}).map(([code, page]) => [code, String(page)]));
  } catch (error) {
    throw new BuildError("system/failed", `Cannot read the pages of errors: ${messageOf(error)}`, { cause: error });
  }
}

/** The beginning of a page's text, as one line. */
function firstSentence(page: string): string {
  const [, text = ""] = page.split(/\n## Why\n|^# .*\n/m).map((part) => part.trim());
  const sentence = /^.*?[.:](?=\s|$)/s.exec(text)?.[0] ?? text;
  return sentence.replaceAll(/\s+/g, " ").replace(/:$/, ".");
}
