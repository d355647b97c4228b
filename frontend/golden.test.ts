import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderError } from "../lib/core/code-frame.ts";
import { BuildError } from "../lib/core/errors.ts";
import { isRecord } from "../lib/core/json.ts";
import { SourceText, type Span } from "../lib/core/span.ts";
import { parseDockerfile } from "./parse.ts";

const FOLDER = join(import.meta.dirname, "../testdata/dockerfiles");
const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".Dockerfile"));

// Update with `vitest -u`, and read what changed.
test.each(names)("%s is read as written down beside it", async (name) => {
  const source = new SourceText(name, await readFile(join(FOLDER, name), "utf8"));
  const golden = join(FOLDER, name.replace(/Dockerfile$/, "golden"));
  await expect(describe(source)).toMatchFileSnapshot(golden);
});

/** The whole model, with spans as `line:column-line:column`; or the errors as people see them. */
function describe(source: SourceText): string {
  try {
    const { source: _, ...file } = parseDockerfile(source);
    return `${JSON.stringify(file, (_key, value: unknown) => (isSpan(value) ? showSpan(value) : kindFirst(value)), 1)}\n`;
  } catch (error) {
    if (error instanceof BuildError) return `${renderError(error)}\n`;
    throw error;
  }
}

function kindFirst(value: unknown): unknown {
  return isRecord(value) && "kind" in value ? { kind: value["kind"], ...value } : value;
}

function isSpan(value: unknown): value is Span {
  return typeof value === "object" && value !== null && "source" in value && "start" in value && "end" in value;
}

function showSpan({ start, end }: Span): string {
  return `${String(start.line)}:${String(start.column)}-${String(end.line)}:${String(end.column)}`;
}
