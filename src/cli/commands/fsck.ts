import type { Command } from "commander";
import { digestFromHex } from "../../core/digest.ts";
import { isReceived } from "../../export/layers.ts";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** `kiln fsck`: checks the store against its digests. Exit status 1 when something is wrong and was not repaired. */
export function fsckCommand(program: Command, cli: Cli): void {
  command(program, cli, "fsck", run)
    .description("check the store: digests, references, what is missing")
    .option("--repair", "remove what is damaged, so that it is made or fetched again")
    .option("--quick", "do not read the files of layers");
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { fsck } = await import("../../store/fsck.ts");
  await using engine = context.openEngine();
  const { packPool, snapshotter, store } = engine;
  const result = await fsck(
    store,
    {
      repair: options["repair"] === true,
      ...(options["quick"] === true
        ? {}
        : {
            // Files that came out of somebody else's tar do not tell its bytes; there is nothing to compare.
            diffIdOf: async (snapshot, directory, signal) =>
              isReceived(snapshot)
                ? digestFromHex(snapshot.slice(snapshot.indexOf("-") + 1))
                : (await packPool.measure({ directory, marks: snapshotter.marks }, signal)).diffId,
          }),
    },
    context.signal,
  );
  for (const problem of result.problems) {
    context.print(`${problem.repaired ? "repaired" : "problem"}\t${problem.kind}\t${problem.message}`);
  }
  context.print(
    `${result.checkedBlobs} blobs and ${result.checkedSnapshots} layers checked, ${result.problems.length} problems, ` +
      `${result.garbage} files that nothing names`,
  );
  return result.problems.every((problem) => problem.repaired) ? 0 : 1;
}
