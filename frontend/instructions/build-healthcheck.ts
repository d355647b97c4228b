import { BuildError } from "../../lib/core/errors.ts";
import type { CommandNode } from "../syntax/ast.ts";
import { toCommand } from "./build-run.ts";
import type { InstructionContext } from "./context.ts";
import { DurationError, parseDuration } from "./duration.ts";
import { FLAGS, readFlagTable } from "./flag-table.ts";
import type { HealthcheckInstruction, Word } from "./instruction.ts";

/** Builds HEALTHCHECK. `command` is `undefined` for HEALTHCHECK NONE, and then flags are ignored. */
export function buildHealthcheck(
  context: InstructionContext,
  command: CommandNode | undefined,
): HealthcheckInstruction {
  if (command === undefined) {
    const nothing = { intervalNs: 0, timeoutNs: 0, startPeriodNs: 0, startIntervalNs: 0, retries: 0 };
    return { ...context.text, kind: "healthcheck", test: { kind: "none" }, ...nothing };
  }
  const flags = readFlagTable(context, FLAGS.healthcheck);
  const test = toCommand(context, command);
  if (test.form === "exec" ? test.argv.length === 0 : test.text === "") {
    throw new BuildError("dockerfile/syntax", "Missing command after HEALTHCHECK CMD", {
      span: context.text.span,
      hint: "write HEALTHCHECK CMD <command>, or HEALTHCHECK NONE",
    });
  }
  return {
    ...context.text,
    kind: "healthcheck",
    test: { kind: "command", command: test },
    intervalNs: toNanoseconds("interval", flags.text("interval")),
    timeoutNs: toNanoseconds("timeout", flags.text("timeout")),
    startPeriodNs: toNanoseconds("start-period", flags.text("start-period")),
    startIntervalNs: toNanoseconds("start-interval", flags.text("start-interval")),
    retries: toRetries(flags.text("retries")),
  };
}

const MINIMUM_NS = 1e6;

function toNanoseconds(name: string, word: Word | undefined): number {
  if (word === undefined || word.text === "") return 0;
  const { span } = word;
  let duration: number;
  try {
    duration = parseDuration(word.text);
  } catch (error) {
    if (!(error instanceof DurationError)) throw error;
    throw new BuildError("dockerfile/syntax", error.message, { span, hint: `write --${name}=30s, 1m30s, 500ms` });
  }
  if (duration === 0 || duration >= MINIMUM_NS) return duration;
  const message = `Interval ${JSON.stringify(name)} cannot be less than 1ms`;
  throw new BuildError("dockerfile/syntax", message, { span, hint: "0 takes the default" });
}

function toRetries(word: Word | undefined): number {
  if (word === undefined || word.text === "") return 0;
  const { text, span } = word;
  const fail = (message: string): never => {
    throw new BuildError("dockerfile/syntax", message, { span, hint: "write --retries=3" });
  };
  if (!/^[-+]?[0-9]+$/.test(text)) fail(`--retries takes a whole number, not ${JSON.stringify(text)}`);
  const number = Number(text);
  if (number > 2 ** 31 - 1 || number < -(2 ** 31)) fail(`--retries is out of range: ${text}`);
  return number < 0 ? fail(`--retries cannot be negative (${String(number)})`) : number;
}
