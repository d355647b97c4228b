import { appendFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ProgressSink } from "../../lib/core/progress.ts";
import { type BuildSummary, summarize } from "../progress/summary.ts";
import { summaryTable } from "../progress/summary-table.ts";
import type { CommandContext } from "./context.ts";
import { writeResultFile } from "./result-files.ts";

/** Columns of the table where standard error is no terminal. */
const FILE_COLUMNS = 120;

/** An open summary of one command, for `--summary`. */
export interface SummaryOutput {
  /** Takes the events of a display as well. */
  beside(display: ProgressSink): ProgressSink;
  /** Prints the table, or writes the file. */
  end(outcome: BuildSummary["outcome"]): Promise<void>;
}

/**
 * Begins a summary.
 * @param file the Markdown to write; empty prints a table on standard error instead
 */
export function openSummary(context: CommandContext, file: string): SummaryOutput {
  const { host } = context;
  const book = summarize(() => host.nowMs());
  return {
    beside: (display) => (event) => {
      display(event);
      book.sink(event);
    },
    async end(outcome) {
      const summary = book.end(outcome);
      if (file === "") {
        const columns = host.stderr.isTTY === true ? host.stderr.columns || 80 : FILE_COLUMNS;
        for (const line of ["", ...summaryTable(summary, columns)]) context.warn(line);
        return;
      }
      const { summaryMarkdown } = await import("../progress/summary-markdown.ts");
      const text = summaryMarkdown(summary);
      // The file that a step of GitHub Actions adds its part of the page to.
      if (resolve(host.workingDirectory, file) === host.env["GITHUB_STEP_SUMMARY"]) appendFileSync(file, `${text}\n`);
      else await writeResultFile(context, "--summary", file, text);
    },
  };
}
