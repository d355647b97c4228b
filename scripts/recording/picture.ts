import type { Cell } from "./terminal.ts";

/** A look of the window, from a time on. */
export interface Frame {
  readonly atMs: number;
  readonly lines: readonly (readonly Cell[])[];
}

const CELL = { width: 8.4, height: 18 };
const MARGIN = 14;
/** The last look stays this long before the recording begins again. */
const REST_MS = 6000;

const COLORS: Readonly<Record<string, string>> = {
  "1": "b",
  "2": "d",
  "31": "r",
  "32": "g",
  "33": "y",
  "34": "l",
  "35": "m",
  "36": "c",
  "90": "d",
};

/** Draws the looks as an SVG that plays them at their own times. What shows no animations shows the last one. */
export function picture(frames: readonly Frame[], columns: number, title: string): string {
  const rows = Math.max(...frames.map(({ lines }) => lines.length));
  const width = Math.ceil(columns * CELL.width + 2 * MARGIN);
  const height = rows * CELL.height + 2 * MARGIN;
  const totalMs = (frames.at(-1)?.atMs ?? 0) + REST_MS;
  const percent = (ms: number): string => ((ms / totalMs) * 100).toFixed(2);
  const rules = frames.map(({ atMs }, index) => {
    const endMs = frames[index + 1]?.atMs ?? totalMs;
    const until = endMs < totalMs ? `${percent(endMs)}%{opacity:0}` : "";
    const from = atMs > 0 ? `0%{opacity:0}` : "";
    return `@keyframes f${index}{${from}${percent(atMs)}%{opacity:1}${until}}#f${index}{animation:f${index} ${totalMs}ms step-end infinite}`;
  });
  const groups = frames.map(({ lines }, index) => {
    const hidden = index === frames.length - 1 ? "" : ' opacity="0"';
    return `<g id="f${index}"${hidden}>${lines.map(lineText).join("")}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">
<title>${escaped(title)}</title>
<style>text{font:14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;fill:#d8dee9;white-space:pre}.b{font-weight:bold}.d{fill:#7b869b}.r{fill:#ff7b85}.g{fill:#9ad17b}.y{fill:#f0c674}.l{fill:#81b4ff}.m{fill:#d7a1e8}.c{fill:#7fd6dc}
${rules.join("\n")}</style>
<rect width="${width}" height="${height}" rx="8" fill="#1b2130"/>
${groups.join("\n")}
</svg>
`;
}

function lineText(cells: readonly Cell[], row: number): string {
  if (cells.length === 0) return "";
  const runs: { style: string; text: string }[] = [];
  for (const { style, text } of cells) {
    const last = runs.at(-1);
    if (last?.style === style) last.text += text;
    else runs.push({ style, text });
  }
  const spans = runs.map(({ style, text }) => {
    const classes = style.split(";").flatMap((one) => COLORS[one] ?? []);
    return classes.length === 0 ? escaped(text) : `<tspan class="${classes.join(" ")}">${escaped(text)}</tspan>`;
  });
  return `<text x="${MARGIN}" y="${MARGIN + row * CELL.height + 13}" xml:space="preserve">${spans.join("")}</text>`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
