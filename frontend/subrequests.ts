import type { Json } from "../lib/core/json.ts";

/** A question about a Dockerfile, answered instead of building it. */
interface Subrequest {
  readonly name: string;
  readonly description: string;
  readonly opts: readonly { readonly name: string; readonly description: string }[] | null;
}

/** The sub-requests of `--call`, with the names and in the order of BuildKit's frontend. */
const SUBREQUESTS: readonly Subrequest[] = [
  {
    name: "frontend.outline",
    description: "List all parameters current build target supports",
    opts: [{ name: "target", description: "Target build stage" }],
  },
  { name: "frontend.targets", description: "List all targets current build supports", opts: [] },
  { name: "frontend.lint", description: "Lint a Dockerfile", opts: [] },
  { name: "frontend.subrequests.describe", description: "List available subrequest types", opts: null },
];

const VERSION = "1.0.0";

/** Writes the answer to `--call=subrequests.describe,format=json`. */
export function subrequestsJson(): Json {
  return SUBREQUESTS.map(({ name, description, opts }) => ({
    name,
    version: VERSION,
    type: "rpc",
    description,
    opts,
    inputs: null,
    metadata: ["result.json", "result.txt"].map((file) => ({ name: file, description: "" })),
    refs: null,
  }));
}

/** Writes the same as a table. */
export function subrequestsText(): string {
  const rows = [
    ["NAME", "VERSION", "DESCRIPTION"],
    ...SUBREQUESTS.map(({ name, description }) => [name.replace(/^frontend\./, ""), VERSION, description]),
  ];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" ");
  return `${rows.map(line).join("\n")}\n`;
}
