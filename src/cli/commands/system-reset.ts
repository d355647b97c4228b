import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { ask } from "../prompt.ts";

/** `kiln system reset`: removes the store, also one whose files belong to subordinate ids. Refuses while builds run. */
export function systemResetCommand(program: Command, cli: Cli): void {
  command(program, cli, "system-reset", run)
    .description("remove the whole store: images, cache and logs (system reset)")
    .option("-f, --force", "do not ask")
    .addHelpText("after", examples([["kiln system reset", "asks first"]]));
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { root } = context.environment;
  if (options["force"] !== true) await confirm(context, root);
  const [{ loadNative }, { readMountInfo, resetStore }] = await Promise.all([
    import("../../../lib/native/load.ts"),
    import("../../../lib/store/reset.ts"),
  ]);
  const others = await resetStore({
    native: loadNative(context.environment.addonPath),
    root,
    mountInfo: readMountInfo(),
  });
  if (others === undefined) context.print(`There is no store at ${root}`);
  else if (others.length === 0) context.print(`Removed ${root}`);
  else
    context.print(`Removed kiln's files in ${root}; not kiln's, and still there: ${printableLine(others.join(", "))}`);
}

async function confirm(context: CommandContext, root: string): Promise<void> {
  if (context.host.stdin.isTTY !== true) {
    throw new BuildError("cli/usage", `Cannot ask whether to remove ${root}: standard input is no terminal`, {
      hint: "kiln system reset --force does not ask",
    });
  }
  const answer = await ask(context, `Remove all images, the cache and logs in ${root}? [y/N] `);
  if (!/^y(es)?$/i.test(answer)) throw new BuildError("build/cancelled", "Nothing was removed");
}
