import type { Command } from "commander";
import { stepsNamed } from "../../engine/named-steps.ts";
import { parseReport } from "../../engine/report-shape.ts";
import type { BuildReport, ReportedStep } from "../../engine/report.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { printable, printableJson } from "../../../lib/core/printable.ts";
import { formatReference, parseReference } from "../../../lib/core/reference.ts";
import type { Store } from "../../../lib/store/store.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { explainBuild, explainDetails, explainStep } from "../explanation.ts";

/** Declares `kiln why`: tells why the steps of the last build, or of another, ran. */
export function whyCommand(program: Command, cli: Cli): void {
  command(program, cli, "why [step]", run)
    .description("say why steps of the last build ran: all, or those with the given number, stage or text")
    .option("--build <name>", "the last build with this tag, or the build with this id")
    .option("--json", "one object: the build and its steps, with the parts that differ")
    .addHelpText(
      "after",
      examples([
        ["kiln why", "all steps of the last build that ran"],
        ["kiln why RUN", "only those with this text"],
        ["kiln why --build app --json", "for a program"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  await using engine = context.openEngine();
  const report = findBuild(engine.store, options["build"]);
  const [wanted] = args;
  const steps = wanted === undefined ? report.steps : wantedSteps(report, wanted);
  if (options["json"] === true) {
    context.print(printableJson({ ...report, steps }));
  } else if (wanted === undefined) {
    for (const line of explainBuild(report, context.host.nowMs())) context.print(printable(line));
  } else {
    for (const step of steps)
      for (const line of [explainStep(step), ...explainDetails(step)]) context.print(printable(line));
  }
}

function findBuild(store: Pick<Store, "builds">, name: unknown): BuildReport {
  for (const kept of store.builds.list()) {
    const report = parseReport(kept);
    if (report === undefined) continue;
    // A build that ended before it knew its steps has nothing to explain.
    if (typeof name === "string" ? isNamed(report, name) : report.total > 0 || report.error === undefined)
      return report;
  }
  throw typeof name === "string"
    ? new BuildError("cli/usage", `Cannot find a build named ${printableJson(name)}`, {
        hint: "give a tag it was built with, or an id that `kiln builds ls` shows",
      })
    : new BuildError("cli/usage", "Cannot explain a build: this store knows of none", {
        hint: "run `kiln build` first, with the same --root",
      });
}

function isNamed(report: BuildReport, name: string): boolean {
  if (report.id === name || report.tags.includes(name)) return true;
  const full = (text: string): string => formatReference(parseReference(text));
  return /^[a-z0-9]/.test(name) && report.tags.some((tag) => full(tag) === full(name));
}

/** @throws {BuildError} `cli/usage` where no step fits */
function wantedSteps(report: BuildReport, wanted: string): readonly ReportedStep[] {
  const found = stepsNamed(report.steps, wanted);
  if (found.length > 0) return found;
  throw new BuildError("cli/usage", `Cannot find a step ${printableJson(wanted)} in the build of ${report.context}`, {
    hint: "give its number, its stage or a piece of its text; `kiln why --json` lists all steps",
  });
}
