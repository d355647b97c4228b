import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isRecord } from "../../lib/core/json.ts";
import type { ProgressEvent } from "../../lib/core/progress.ts";
import { createProgress } from "./progress.ts";

const DOCS = join(import.meta.dirname, "../../docs");
const RECORDED = join(import.meta.dirname, "../../testdata/progress");
const schema: unknown = JSON.parse(readFileSync(join(DOCS, "events.schema.json"), "utf8"));

/** One event of each kind with every member that it can have. */
const FULL: { readonly [Kind in ProgressEvent["kind"]]: ProgressEvent & { readonly kind: Kind } } = {
  plan: {
    kind: "plan",
    id: "b",
    steps: [{ id: "s", name: "[build 1/1] RUN make", stage: "build", inputs: ["r"] }],
    outputs: 1,
    atMs: 1,
  },
  "step-started": { kind: "step-started", id: "s", name: "n", atMs: 1 },
  "step-cached": { kind: "step-cached", id: "s", name: "n", atMs: 1 },
  "step-done": {
    kind: "step-done",
    id: "s",
    atMs: 1,
    usage: { cpuMs: 1, peakMemoryBytes: 2, readBytes: 3, writtenBytes: 4 },
  },
  "step-failed": { kind: "step-failed", id: "s", atMs: 1, message: "m" },
  "step-cancelled": { kind: "step-cancelled", id: "s", atMs: 1 },
  "step-miss": { kind: "step-miss", id: "s", name: "n", reason: "r", concerns: "step" },
  log: { kind: "log", id: "s", stream: "stderr", data: "d", atMs: 1 },
  status: { kind: "status", id: "s", item: "i", current: 1, total: 2, unit: "files", done: true, atMs: 1 },
  output: {
    kind: "output",
    id: "s",
    atMs: 1,
    output: {
      kind: "image",
      place: "pushed",
      names: ["a"],
      imageId: "i",
      digest: "d",
      sizeBytes: 1,
      layers: 2,
      platforms: 1,
    },
  },
  finding: {
    kind: "finding",
    id: "s",
    atMs: 1,
    finding: { rule: "R", message: "m", description: "d", url: "u", file: "Dockerfile", lines: [1, 2] },
  },
  notice: { kind: "notice", level: "warning", message: "m", hint: "h" },
};

/** Returns the lines that `--progress=events` writes for some events. */
function linesFor(events: readonly ProgressEvent[]): readonly string[] {
  let text = "";
  const display = createProgress("events", {
    write: (piece) => {
      text += piece;
    },
    size: () => ({ columns: 80, rows: 24 }),
    colors: false,
    logLines: 6,
    rewraps: true,
    nowMs: () => 1,
    every: () => ({ [Symbol.dispose]: () => {} }),
  });
  for (const event of events) display.sink(event);
  display.finish("failure");
  return text.trimEnd().split("\n");
}

test("every line of every kind fits the schema in the docs, which knows all members", () => {
  for (const line of linesFor(Object.values(FULL))) expect(misfit(JSON.parse(line), schema), line).toBeUndefined();
});

test.each(readdirSync(RECORDED).filter((name) => name.endsWith(".jsonl")))("a real build fits it: %s", (name) => {
  for (const line of readFileSync(join(RECORDED, name), "utf8").trimEnd().split("\n"))
    expect(misfit(JSON.parse(line), schema), line).toBeUndefined();
});

test("the page names each kind", () => {
  const page = readFileSync(join(DOCS, "events.md"), "utf8");
  const named = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, kind]) => kind ?? "");
  expect(new Set(named)).toEqual(new Set(["kind", "stream-started", "stream-ended", ...Object.keys(FULL)]));
});

test.each([
  { line: { ...FULL.log, more: 1 }, why: "more" },
  { line: { kind: "log", id: "s" }, why: "stream" },
  { line: { ...FULL.status, unit: "miles" }, why: "unit" },
  { line: { kind: "unheard-of" }, why: "kind" },
])("what does not fit is found: $why", ({ line, why }) => {
  expect(misfit(line, schema)).toContain(why);
});

/**
 * Tells why a value does not fit a schema, `undefined` where it does. Knows the words that ours uses, and is stricter in
 * one: a member that is not listed does not fit.
 */
function misfit(value: unknown, rule: unknown, path = ""): string | undefined {
  if (!isRecord(rule)) return `${path}: no schema`;
  if (Array.isArray(rule["oneOf"])) return oneOf(value, rule["oneOf"], path);
  if ("const" in rule && rule["const"] !== value) return `${path} is not ${JSON.stringify(rule["const"])}`;
  if (Array.isArray(rule["enum"]) && !rule["enum"].includes(value)) return `${path} is not one of the listed values`;
  const type = Array.isArray(value) ? "array" : typeof value;
  if ("type" in rule && rule["type"] !== type) return `${path} is no ${String(rule["type"])}`;
  if (Array.isArray(value)) {
    if (value.length < Number(rule["minItems"] ?? 0) || value.length > Number(rule["maxItems"] ?? Infinity))
      return `${path} has ${value.length} items`;
    return value.map((item, index) => misfit(item, rule["items"], `${path}[${index}]`)).find(Boolean);
  }
  if (!isRecord(value)) return undefined;
  const properties = isRecord(rule["properties"]) ? rule["properties"] : {};
  const required: readonly unknown[] = Array.isArray(rule["required"]) ? rule["required"] : [];
  const missing = required.find((name) => typeof name !== "string" || !(name in value));
  if (missing !== undefined) return `${path}.${JSON.stringify(missing)} is missing`;
  return Object.entries(value)
    .map(([name, member]) =>
      name in properties ? misfit(member, properties[name], `${path}.${name}`) : `${path}.${name} is not listed`,
    )
    .find(Boolean);
}

/** Finds the alternative of the value's kind, so that the reason is of that one. */
function oneOf(value: unknown, alternatives: readonly unknown[], path: string): string | undefined {
  const kind = isRecord(value) ? value["kind"] : undefined;
  const own = alternatives.find((one) => {
    const properties = isRecord(one) ? one["properties"] : undefined;
    const rule = isRecord(properties) ? properties["kind"] : undefined;
    return isRecord(rule) && (rule["const"] === kind || (Array.isArray(rule["enum"]) && rule["enum"].includes(kind)));
  });
  return own === undefined ? `${path}.kind is not listed` : misfit(value, own, path);
}
