import { printable, printableLine } from "../../../lib/core/printable.ts";
import type { BuildReport, ReportedStep } from "../../engine/report.ts";
import { workOf } from "../build-log.ts";
import type { TraceTarget } from "./target.ts";

type Value = string | number | readonly string[] | undefined;

/** Facts that a build's spans are made of, beside its report. */
export interface SpanParts extends Pick<TraceTarget, "parent" | "resource"> {
  readonly version: string;
  /** Makes identifiers: hexadecimal digits for this number of bytes. */
  readonly random: (bytes: number) => string;
  /** The end, for a build whose record has no length. */
  readonly endedAtMs: number;
}

/** Limit of a name, in UTF-16 code units: a here-document is an instruction too. */
const MAX_TEXT = 1000;

/** OTLP's numbers. */
const INTERNAL = 1;
const OK = 1;
const ERROR = 2;

/**
 * Makes an OTLP/JSON request (`ExportTraceServiceRequest`): one span for the build and one for everything it did.
 * @param report without secrets, as the store keeps it
 */
export function traceRequest(report: BuildReport, parts: SpanParts): object {
  const { parent, random, resource, version } = parts;
  const traceId = parent?.traceId ?? random(16);
  const rootId = random(8);
  const nanos = (ms: number): string => `${BigInt(Math.round((report.startedAtMs + ms) * 1000)) * 1000n}`;
  const work = workOf(report).filter(({ startMs }) => Number.isFinite(startMs));
  const lengthMs = Math.max(
    report.record?.durationMs ?? parts.endedAtMs - report.startedAtMs,
    ...work.map(({ startMs, endMs }) => endMs ?? startMs),
  );
  const ids = new Map(work.flatMap(({ step }) => (step === undefined ? [] : [[step, random(8)] as const])));
  const common = {
    traceId,
    kind: INTERNAL,
    // Sampled, as the parent is.
    flags: 1,
    ...(parent?.state === undefined ? {} : { traceState: parent.state }),
  };
  const spans = work.map(({ name, startMs, endMs, state, step }) => ({
    ...common,
    spanId: (step === undefined ? undefined : ids.get(step)) ?? random(8),
    parentSpanId: rootId,
    name: shortLine(name),
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(Math.max(startMs, endMs ?? lengthMs)),
    attributes: attributes({ "kiln.state": state, ...(step === undefined ? {} : stepFacts(step)) }),
    links: (step?.needs ?? []).flatMap((index) => {
      const needed = report.steps[index];
      const spanId = needed === undefined ? undefined : ids.get(needed);
      return spanId === undefined ? [] : [{ traceId, spanId }];
    }),
    status: state === "failed" ? { code: ERROR } : {},
  }));
  const root = {
    ...common,
    spanId: rootId,
    ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
    name: "kiln build",
    startTimeUnixNano: nanos(0),
    endTimeUnixNano: nanos(lengthMs),
    attributes: attributes(buildFacts(report)),
    status:
      report.error === undefined
        ? { code: OK }
        : { code: ERROR, message: printable(report.error.message).slice(0, MAX_TEXT) },
  };
  const scope = { name: "kiln", version };
  return {
    resourceSpans: [
      {
        resource: { attributes: attributes(resource) },
        scopeSpans: [{ scope, spans: [root, ...spans] }],
      },
    ],
  };
}

function buildFacts({ id, context, target, tags, record, error, total }: BuildReport): Readonly<Record<string, Value>> {
  return {
    "kiln.build.id": id,
    "kiln.build.status": record?.status,
    "kiln.build.context": context,
    "kiln.build.dockerfile": record?.dockerfile,
    "kiln.build.target": target,
    "kiln.build.tags": tags,
    "kiln.build.steps": record?.steps?.total ?? total,
    "kiln.build.steps.cached": record?.steps?.cached,
    "kiln.build.warnings": record?.warnings,
    "kiln.image.id": record?.result?.imageId,
    "kiln.image.digest": record?.result?.manifest,
    "vcs.ref.head.revision": record?.commit,
    "error.type": error?.code,
  };
}

function stepFacts({ how, stage, place, why, usage, layerBytes }: ReportedStep): Readonly<Record<string, Value>> {
  return {
    "kiln.step.how": how,
    "kiln.step.stage": stage,
    "kiln.step.reason": why,
    "kiln.step.cpu_ms": usage?.cpuMs,
    "kiln.step.memory_bytes": usage?.peakMemoryBytes,
    "kiln.step.read_bytes": usage?.readBytes,
    "kiln.step.written_bytes": usage?.writtenBytes,
    "kiln.step.layer_bytes": layerBytes,
    "code.file.path": place?.file,
    "code.line.number": place?.line,
  };
}

function attributes(facts: Readonly<Record<string, Value>>): readonly object[] {
  return Object.entries(facts).flatMap(([key, value]): readonly object[] => {
    if (value === undefined) return [];
    if (typeof value === "string") return value === "" ? [] : [{ key, value: { stringValue: shortLine(value) } }];
    // 64-bit integers are strings in protobuf's JSON.
    if (typeof value === "number") {
      return [{ key, value: Number.isSafeInteger(value) ? { intValue: `${value}` } : { doubleValue: value } }];
    }
    const values = value.map((text) => ({ stringValue: shortLine(text) }));
    return values.length === 0 ? [] : [{ key, value: { arrayValue: { values } } }];
  });
}

function shortLine(text: string): string {
  const line = printableLine(text);
  return line.length <= MAX_TEXT ? line : `${line.slice(0, MAX_TEXT)}…`.toWellFormed();
}
