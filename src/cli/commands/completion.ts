import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { didYouMean } from "../../../lib/core/suggest.ts";
import { VERSION } from "../../../lib/core/version.ts";
import { type Cli, command, examples } from "../command.ts";
import { commandTable } from "../command-table.ts";
import { SCRIPTS } from "../completion/scripts.ts";
import { SPELLINGS } from "../spellings.ts";

/** Declares `kiln completion`: prints the script by which a shell completes kiln's command lines. */
export function completionCommand(program: Command, cli: Cli): void {
  command(program, cli, "completion <shell>", async (context, [shell = ""]) => {
    if (shell === "table") {
      context.print(JSON.stringify(commandTable(program, SPELLINGS, VERSION)));
      return;
    }
    const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
    const shells = Object.keys(SCRIPTS);
    if (script === undefined) {
      throw new BuildError(
        "cli/usage",
        `Cannot complete for ${JSON.stringify(shell)}${didYouMean(shell, shells)}: it is one of ${shells.join(", ")}`,
        { hint: '"kiln completion table" prints all commands and flags as JSON, for other shells' },
      );
    }
    context.print(script.trimEnd());
  })
    .description("print the script that completes command lines in bash, zsh or fish; table: all commands as JSON")
    .addHelpText(
      "after",
      examples([
        ["kiln completion bash > /etc/bash_completion.d/kiln", "for all users; or: source <(kiln completion bash)"],
        ["kiln completion zsh > ~/.zfunc/_kiln", "in a folder of $fpath"],
        ["kiln completion fish > ~/.config/fish/completions/kiln.fish", ""],
      ]),
    );
}
