import type { StepUsage } from "../../lib/core/progress.ts";
import { list, NUMBER, object, oneOf, optional, type Shape, tagged, TEXT } from "../../lib/core/shape.ts";
import type { FileChange } from "../../solver/cache/changed-files.ts";
import type { FileSource, MissReason, PartChange } from "../../solver/cache/explain.ts";
import type { BuildReport, ReportedStep } from "./report.ts";

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
    total: NUMBER,
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
  cpuMs: NUMBER,
  peakMemoryBytes: optional(NUMBER),
  readBytes: optional(NUMBER),
  writtenBytes: optional(NUMBER),
});

const step = object<ReportedStep>({
  name: TEXT,
  stage: optional(TEXT),
  instruction: TEXT,
  how: oneOf("cached", "ran", "cutoff"),
  miss: optional(missReason),
  why: optional(TEXT),
  usage: optional(usage),
});

/** Schema of a stored report. `undefined` members are not written. */
const reportShape: Shape<BuildReport> = object<BuildReport>({
  version: oneOf(1),
  id: TEXT,
  startedAtMs: NUMBER,
  context: TEXT,
  target: optional(TEXT),
  tags: list(TEXT),
  error: optional(object<NonNullable<BuildReport["error"]>>({ code: TEXT, message: TEXT })),
  total: NUMBER,
  steps: list(step),
});

/** Parses a stored report; `undefined` when it is damaged, or another kiln wrote it. */
export function parseReport(value: unknown): BuildReport | undefined {
  return reportShape.fits(value) ? value : undefined;
}
