import type { Command } from "commander";
import { printable, printableLine } from "../../../lib/core/printable.ts";
import type { BuildEnvironment } from "../../engine/environment.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { secrets, sshAgents } from "../flags/values.ts";

/** Declares `kiln shell`: opens a shell in the place of a failed step. Its exit status is ours. */
export function shellCommand(program: Command, cli: Cli): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  command(program, cli, "shell [step] [command...]", (context, args, options) => {
    const [id, ...words] = args;
    return openShell(context, {
      id,
      words,
      secret: textsIn(options, "secret"),
      ssh: textsIn(options, "ssh"),
    });
  })
    .description("open a shell where a build failed: the last time, or at the step with this id")
    .passThroughOptions()
    .option("--secret <attributes>", "a secret of the build: they are not kept", each, [])
    .option("--ssh <agent>", "an agent of the build", each, [])
    .addHelpText(
      "after",
      examples([
        ["kiln shell", "where the last failed build stopped"],
        ["kiln shell 4f2a ls -l /src", "one command, at the step with this id"],
      ]),
    );
}

/** Opens the shell and prints its place. */
export async function openShell(
  context: CommandContext,
  asked: {
    readonly id: string | undefined;
    readonly words: readonly string[];
    readonly secret: readonly string[];
    readonly ssh: readonly string[];
  },
): Promise<number> {
  const { findFailedStep, runShell } = await import("../../engine/shell.ts");
  await using engine = context.openEngine({
    progress: (event) => {
      if (event.kind === "notice" && event.level === "warning") context.warn(`kiln: ${printable(event.message)}`);
    },
  });
  const step = findFailedStep(engine, asked.id);
  const [, , script] = step.op.argv;
  context.warn(`kiln: in ${printableLine(step.name)}, which ended with ${step.exitCode}; changes are thrown away`);
  if (script !== undefined && !step.name.includes(script))
    context.warn(`kiln: it ran ${printable(step.op.argv.join(" "))}`);
  const result = await runShell(
    engine,
    {
      step,
      command: asked.words.length > 0 ? asked.words : ["/bin/sh"],
      secrets: secrets(asked.secret, context.host.env),
      ssh: sshAgents(asked.ssh, context.host.env),
      env: terminal(context.environment),
    },
    context.signal,
  );
  return result.exitCode;
}

function terminal(environment: BuildEnvironment): string[] {
  const { TERM } = environment.env;
  return TERM === undefined ? [] : [`TERM=${TERM}`];
}
