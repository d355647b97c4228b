import type { StepUsage } from "../../lib/core/progress.ts";
import { isRecord } from "../../lib/core/json.ts";
import { FLAG, list, mapOf, object, oneOf, optional, type Shape, such, tagged, TEXT } from "../../lib/core/shape.ts";
import type { FileChange } from "../../solver/cache/changed-files.ts";
import type { FileSource, MissReason, PartChange } from "../../solver/cache/explain.ts";
import type { BuildRecord, BuildReport, RecordedLayer, RecordedResult, RecordedWork, ReportedStep } from "./report.ts";

/**
 * Times in milliseconds, sizes and counts. The limit keeps the sum of two times a date, in a record that was damaged; it
 * is four petabytes, and a time in the year 128,000.
 */
const AMOUNT = such("an amount", (value): value is number => typeof value === "number" && Math.abs(value) <= 4e15);

type Change<Kind extends PartChange["kind"]> = Extract<PartChange, { readonly kind: Kind }>;
type Reason<Kind extends MissReason["kind"]> = Extract<MissReason, { readonly kind: Kind }>;

const source = object<FileSource>({ kind: TEXT, state: TEXT });

const partChange = tagged<PartChange, "kind">("kind", {
  value: object<Change<"value">>({ kind: oneOf("value"), name: TEXT, from: optional(TEXT), to: optional(TEXT) }),
  order: object<Change<"order">>({ kind: oneOf("order"), what: oneOf("environment") }),
  files: object<Change<"files">>({
    kind: oneOf("files"),
    name: TEXT,
    files: list(object<FileChange>({ path: TEXT, what: list(TEXT) })),
    total: AMOUNT,
  }),
  text: object<Change<"text">>({ kind: oneOf("text"), from: TEXT, to: TEXT }),
  source: object<Change<"source">>({ kind: oneOf("source"), name: TEXT, was: source, now: source }),
  base: object<Change<"base">>({ kind: oneOf("base"), ref: TEXT, was: optional(TEXT) }),
  input: object<Change<"input">>({ kind: oneOf("input"), name: TEXT, step: TEXT }),
});

const missReason = tagged<MissReason, "kind">("kind", {
  "no-cache": object<Reason<"no-cache">>({ kind: oneOf("no-cache") }),
  "never-built": object<Reason<"never-built">>({ kind: oneOf("never-built") }),
  pruned: object<Reason<"pruned">>({ kind: oneOf("pruned") }),
  changed: object<Reason<"changed">>({ kind: oneOf("changed"), changes: list(partChange) }),
});

const usage = object<StepUsage>({
  cpuMs: AMOUNT,
  peakMemoryBytes: optional(AMOUNT),
  readBytes: optional(AMOUNT),
  writtenBytes: optional(AMOUNT),
});

const TEXTS = list(TEXT);
const workState = oneOf("done", "cached", "failed", "cancelled");

const step = object<ReportedStep>({
  name: TEXT,
  stage: optional(TEXT),
  instruction: TEXT,
  how: oneOf("cached", "ran", "cutoff"),
  miss: optional(missReason),
  why: optional(TEXT),
  usage: optional(usage),
  place: optional(object<NonNullable<ReportedStep["place"]>>({ file: TEXT, line: AMOUNT })),
  machine: optional(TEXT),
  state: optional(workState),
  startMs: optional(AMOUNT),
  endMs: optional(AMOUNT),
  needs: optional(list(AMOUNT)),
  isOnFirst: optional(FLAG),
  layer: optional(TEXT),
  layerBytes: optional(AMOUNT),
  log: optional(TEXT),
});

const record = object<BuildRecord>({
  status: oneOf("completed", "failed", "cancelled", "interrupted"),
  durationMs: optional(AMOUNT),
  directory: optional(TEXT),
  dockerfile: optional(TEXT),
  commit: optional(TEXT),
  options: mapOf<string | readonly string[]>(such("a text or texts", (value) => TEXT.fits(value) || TEXTS.fits(value))),
  versions: object<BuildRecord["versions"]>({ kiln: TEXT, node: TEXT }),
  steps: optional(object<NonNullable<BuildRecord["steps"]>>({ total: AMOUNT, cached: AMOUNT })),
  result: optional(
    object<RecordedResult>({
      imageId: optional(TEXT),
      manifest: optional(TEXT),
      names: TEXTS,
      layers: list(object<RecordedLayer>({ id: TEXT, bytes: optional(AMOUNT) })),
    }),
  ),
  warnings: optional(AMOUNT),
  work: list(object<RecordedWork>({ name: TEXT, startMs: AMOUNT, endMs: optional(AMOUNT), state: workState })),
});

/** Schema of a stored report. `undefined` members are not written. */
const reportShape: Shape<BuildReport> = object<BuildReport>({
  version: oneOf(1),
  id: TEXT,
  startedAtMs: AMOUNT,
  context: TEXT,
  target: optional(TEXT),
  tags: list(TEXT),
  error: optional(object<NonNullable<BuildReport["error"]>>({ code: TEXT, message: TEXT })),
  total: AMOUNT,
  steps: list(step),
  record: optional(record),
});

/**
 * Parses a stored report; `undefined` when it is damaged, or another kiln wrote it. What another kiln knew of a build as
 * a whole, in words unknown here, is left out.
 */
export function parseReport(value: unknown): BuildReport | undefined {
  if (reportShape.fits(value)) return value;
  if (!isRecord(value)) return undefined;
  const { record: _unknown, ...rest } = value;
  return reportShape.fits(rest) ? rest : undefined;
}
