import type { BuildLimits } from "../../engine/options.ts";
import { malformed, splitCsv } from "./csv.ts";
import { memorySize } from "./values.ts";

/** Settings by the name of `--resource` and of the classic builder's flag. */
const RESOURCES = {
  memory: {
    key: "memoryBytes",
    legacy: "memory",
    read: (text: string) => positive(memorySize(text, "memory"), "memory"),
  },
  "memory-swap": {
    key: "memorySwapBytes",
    legacy: "memorySwap",
    read: (text: string) => (text === "-1" ? -1 : positive(memorySize(text, "memory-swap"), "memory-swap")),
  },
  "cpu-shares": { key: "cpuShares", legacy: "cpuShares", read: (text: string) => whole(text, "cpu-shares") },
  "cpu-period": { key: "cpuPeriodUs", legacy: "cpuPeriod", read: (text: string) => whole(text, "cpu-period") },
  "cpu-quota": { key: "cpuQuotaUs", legacy: "cpuQuota", read: (text: string) => whole(text, "cpu-quota") },
  "cpuset-cpus": { key: "cpusetCpus", legacy: "cpusetCpus", read: (text: string) => cpuList(text, "cpuset-cpus") },
  "cpuset-mems": { key: "cpusetMems", legacy: "cpusetMems", read: (text: string) => cpuList(text, "cpuset-mems") },
} as const;

/** Reads `--resource name=value,...` and the flags of the classic builder. */
export function resourceLimits(flags: readonly string[], legacy: Readonly<Record<string, unknown>>): BuildLimits {
  const limits: Record<string, number | string> = {};
  for (const resource of Object.values(RESOURCES)) {
    const value = legacy[resource.legacy];
    if (typeof value === "string") limits[resource.key] = resource.read(value);
  }
  for (const flag of flags) {
    for (const field of splitCsv(flag, "resource")) {
      const equals = field.indexOf("=");
      const name = field.slice(0, Math.max(0, equals));
      const resource = (RESOURCES as Readonly<Record<string, (typeof RESOURCES)[keyof typeof RESOURCES] | undefined>>)[
        name
      ];
      if (resource === undefined) {
        throw malformed("resource", field, "it is not a resource", `resources: ${Object.keys(RESOURCES).join(", ")}`);
      }
      limits[resource.key] = resource.read(field.slice(equals + 1));
    }
  }
  return limits;
}

function positive(value: number, flag: string): number {
  if (value > 0) return value;
  throw malformed(flag, String(value), "must be > 0");
}

function whole(text: string, flag: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw malformed(flag, text, "must be > 0");
}

/** Parses `0-3,5`. */
function cpuList(text: string, flag: string): string {
  if (/^\d+(-\d+)?(,\d+(-\d+)?)*$/.test(text)) return text;
  throw malformed(flag, text, "it is not a list of numbers", 'write it like "0-3" or "0,2"');
}
