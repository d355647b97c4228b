import { randomBytes } from "node:crypto";
import { messageOf } from "../../../lib/core/errors.ts";
import { parseJson } from "../../../lib/core/json.ts";
import { VERSION } from "../../../lib/core/version.ts";
import { reportJson } from "../../engine/build-record.ts";
import type { BuildOptions } from "../../engine/options.ts";
import { parseReport } from "../../engine/report-shape.ts";
import type { BuildReport } from "../../engine/report.ts";
import type { CommandContext } from "../context.ts";
import { sendTrace } from "./send.ts";
import { traceRequest } from "./spans.ts";
import { traceTarget } from "./target.ts";

/**
 * Sends a finished build to the collector that the environment names. Whatever goes wrong is one warning: the build's
 * end is decided.
 */
export async function sendBuildTrace(
  {
    host,
    warn,
  }: { readonly host: Pick<CommandContext["host"], "env" | "nowMs">; readonly warn: (line: string) => void },
  report: BuildReport,
  options: Pick<BuildOptions, "buildArgs" | "labels">,
): Promise<void> {
  const { target, warnings } = traceTarget(host.env);
  for (const warning of warnings) warn(`WARNING: ${warning}`);
  if (target === undefined) return;
  try {
    // The report of a running program has the values of secret build arguments; the kept one has none.
    const clean = parseReport(parseJson(reportJson(report, options)));
    if (clean === undefined) throw new Error("its report cannot be read");
    const random = (bytes: number): string => randomBytes(bytes).toString("hex");
    const parts = { ...target, version: VERSION, random, endedAtMs: host.nowMs() };
    await sendTrace(target, traceRequest(clean, parts));
  } catch (error) {
    warn(`WARNING: The build's trace is not sent to ${target.url.host}: ${messageOf(error)}`);
  }
}
