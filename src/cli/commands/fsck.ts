import type { Command } from "commander";
import { printableLine } from "../../../lib/core/printable.ts";
import { diffIdTeller } from "../../engine/after-restart.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** Declares `kiln fsck`: checks the store against its digests. Exit status 1 for unrepaired problems. */
export function fsckCommand(program: Command, cli: Cli): void {
  command(program, cli, "fsck", run)
    .description("check the store: digests, references, what is missing")
    .option("--repair", "remove what is damaged, so that it is made or fetched again")
    .option("--quick", "do not read the files of layers")
    .addHelpText(
      "after",
      examples([
        ["kiln fsck --quick", "without reading layers"],
        ["kiln fsck --repair", "and remove what is damaged"],
      ]),
    );
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { fsck } = await import("../../../lib/store/fsck.ts");
  await using engine = context.openEngine();
  const result = await fsck(
    engine.store,
    { repair: options["repair"] === true, ...(options["quick"] === true ? {} : { diffIdOf: diffIdTeller(engine) }) },
    context.signal,
  );
  for (const problem of result.problems) {
    context.print(`${problem.repaired ? "repaired" : "problem"}\t${problem.kind}\t${printableLine(problem.message)}`);
  }
  context.print(
    `${result.checkedBlobs} blobs and ${result.checkedSnapshots} layers checked, ${result.problems.length} problems, ` +
      `${result.garbage} files that nothing names`,
  );
  return result.problems.every((problem) => problem.repaired) ? 0 : 1;
}
