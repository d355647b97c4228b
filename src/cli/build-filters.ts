import { BuildError } from "../../lib/core/errors.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import { durationOf, type ListedBuild, nameOfBuild, STATUS_WORDS } from "./build-records.ts";
import { durationMs } from "./flags/duration.ts";

type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=";
type Filter = (build: ListedBuild) => boolean;

/** Makes the test of one key. */
type Key = (comparison: Comparison, value: string, nowMs: number) => Filter;

const TEXT_ONLY: readonly Comparison[] = ["=", "!="];

const KEYS: Readonly<Record<string, { readonly comparisons?: readonly Comparison[]; readonly make: Key }>> = {
  ref: textKey(({ report }) => [report.id, `kiln/kiln/${report.id}`]),
  status: textKey(
    ({ status }) => [status, STATUS_WORDS[status].toLowerCase()],
    (value) => value.toLowerCase(),
  ),
  name: textKey((build) => [nameOfBuild(build.report), ...build.report.tags]),
  context: textKey(({ report }) => [report.context, report.record?.directory ?? ""]),
  target: textKey(({ report }) => [report.target ?? ""]),
  commit: {
    comparisons: TEXT_ONLY,
    make: (comparison, value) => (build) => {
      const isSame = value !== "" && build.report.record?.commit?.startsWith(value) === true;
      return isSame === (comparison === "=");
    },
  },
  duration: {
    make: (comparison, value, nowMs) => {
      const limit = durationMs(value, "--filter");
      return (build) => compared(durationOf(build, nowMs), comparison, limit);
    },
  },
  startedAt: { make: timeKey(({ report }) => report.startedAtMs) },
  completedAt: {
    make: timeKey(({ report, status }) =>
      status === "running" || report.record?.durationMs === undefined
        ? undefined
        : report.startedAtMs + report.record.durationMs,
    ),
  },
};

/**
 * Makes the filter of `kiln builds ls --filter key=value...`: several of one key are alternatives, different keys are
 * conditions, and comparisons with `<` or `>` are conditions each.
 * @throws {BuildError} `cli/usage`
 */
export function buildFilter(texts: readonly string[], nowMs: number): Filter {
  const groups = new Map<string, Filter[]>();
  for (const [index, text] of texts.entries()) {
    const [, name = "", comparison = "", value = ""] = /^(\w+)(=|!=|<=|>=|<|>)([^]*)$/.exec(text) ?? [];
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    const known = (["=", "!=", "<", "<=", ">", ">="] as const).find((one) => one === comparison);
    if (key === undefined || known === undefined || key.comparisons?.includes(known) === false) {
      throw new BuildError(
        "cli/usage",
        `Cannot use --filter ${JSON.stringify(text)}${didYouMean(name, Object.keys(KEYS))}`,
        {
          hint: `write key=value, key!=value, or for times and durations key>value; keys: ${Object.keys(KEYS).join(", ")}`,
        },
      );
    }
    // "not this" twice means neither of them.
    const group = known === "=" ? name : `${name} ${index}`;
    groups.set(group, [...(groups.get(group) ?? []), key.make(known, value, nowMs)]);
  }
  return (build) => [...groups.values()].every((alternatives) => alternatives.some((filter) => filter(build)));
}

function textKey(
  of: (build: ListedBuild) => readonly string[],
  normal: (value: string) => string = (value) => value,
): (typeof KEYS)[string] {
  return {
    comparisons: TEXT_ONLY,
    make: (comparison, value) => (build) => of(build).includes(normal(value)) === (comparison === "="),
  };
}

/** Compares a time with a date, or with a duration before now. */
function timeKey(of: (build: ListedBuild) => number | undefined): Key {
  return (comparison, value, nowMs) => {
    const limit = /^\d+[smhdw]/.test(value) ? nowMs - durationMs(value, "--filter") : Date.parse(value);
    if (Number.isNaN(limit)) {
      throw new BuildError("cli/usage", `Cannot read the time ${JSON.stringify(value)} of --filter`, {
        hint: 'write a date such as "2026-11-30T12:00:00Z", or a time before now such as "2h"',
      });
    }
    return (build) => compared(of(build), comparison, limit);
  };
}

function compared(value: number | undefined, comparison: Comparison, limit: number): boolean {
  if (value === undefined) return false;
  switch (comparison) {
    case "=":
      return value === limit;
    case "!=":
      return value !== limit;
    case "<":
      return value < limit;
    case "<=":
      return value <= limit;
    case ">":
      return value > limit;
    case ">=":
      return value >= limit;
    default:
      return comparison satisfies never;
  }
}
