import { printableLine } from "../../lib/core/printable.ts";
import { outputLines } from "./output-lines.ts";
import { formatSeconds } from "./step-book.ts";
import { isTold, SUMMARY_COLUMNS, summaryCells, totalCells } from "./summary-table.ts";
import type { BuildSummary } from "./summary.ts";

/** Writes a summary as Markdown, for the page of a CI run. Foreign text is text there: no markup, no HTML, no links. */
export function summaryMarkdown(summary: BuildSummary): string {
  const { outcome, wallMs, steps, outputs, warnings } = summary;
  const title = outcome === "success" ? "Build succeeded" : "Build failed";
  const rows = [...steps.filter(isTold).map(summaryCells), totalCells(summary).map((cell) => `**${cell}**`)];
  const table = [
    `| ${SUMMARY_COLUMNS.map((name) => name.charAt(0) + name.slice(1).toLowerCase()).join(" | ")} |`,
    "| :-- | :-- | --: | --: | --: | --: |",
    ...rows.map((cells, index) => `| ${cells.map((cell) => cellText(cell, index < rows.length - 1)).join(" | ")} |`),
  ];
  const made = outputs.map((output) => {
    const [first = "", ...facts] = outputLines(output);
    return [`- ${escaped(first)}`, ...facts.map((fact) => `  - ${escaped(fact.trim().replaceAll(/ +/g, " "))}`)].join(
      "\n",
    );
  });
  const warned = warnings.map((warning) => `- ${escaped(printableLine(warning))}`);
  return [
    `### ${title} in ${formatSeconds(wallMs)}`,
    ...(outcome === "success" && made.length > 0 ? [made.join("\n")] : []),
    table.join("\n"),
    ...(warned.length > 0 ? [`#### ${warned.length} warning${warned.length === 1 ? "" : "s"}`, warned.join("\n")] : []),
    "",
  ].join("\n\n");
}

function cellText(cell: string, isForeign: boolean): string {
  if (!isForeign) return cell === "****" ? "" : cell;
  return escaped(cell);
}

/** Escapes what Markdown, and HTML inside of it, would take for markup. */
function escaped(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll(/[\\`*_{}[\]()#+!|~@$:]/g, String.raw`\$&`);
}
