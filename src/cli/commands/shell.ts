import type { Command } from "commander";
import { printable, printableLine } from "../../../lib/core/printable.ts";
import type { BuildEnvironment } from "../../engine/environment.ts";
import type { FailedStep } from "../../../solver/ops/exec/failed-step.ts";
import type { Engine } from "../../engine/engine.ts";
import type { ShellPlace } from "../../engine/shell.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { secrets, sshAgents } from "../flags/values.ts";

/** Declares `kiln shell`: opens a shell in the place of a failed step. Its exit status is ours. */
export function shellCommand(program: Command, cli: Cli): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  command(program, cli, "shell [step] [command...]", (context, args, options) => {
    const before = typeof options["before"] === "string" ? options["before"] : undefined;
    const [id, ...rest] = args;
    const words = before === undefined ? rest : args;
    return openShell(context, {
      id: before === undefined ? id : undefined,
      before,
      words,
      secret: textsIn(options, "secret"),
      ssh: textsIn(options, "ssh"),
    });
  })
    .description("open a shell where a build failed: the last time, or at the step with this id")
    .passThroughOptions()
    .option("--before <step>", "before a step of the last build: its number, stage, a piece of its text, or failed")
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
    /** The step to stand before; the shell is otherwise in the place of a failed one. */
    readonly before?: string | undefined;
    readonly words: readonly string[];
    readonly secret: readonly string[];
    readonly ssh: readonly string[];
  },
): Promise<number> {
  const { runShell } = await import("../../engine/shell.ts");
  await using engine = context.openEngine({
    progress: (event) => {
      if (event.kind === "notice" && event.level === "warning") context.warn(`kiln: ${printable(event.message)}`);
    },
  });
  const place =
    asked.before === undefined
      ? await failedPlace(context, engine, asked.id)
      : await placeBeforeStep(context, engine, asked.before);
  const result = await runShell(
    engine,
    {
      place,
      command: asked.words.length > 0 ? asked.words : ["/bin/sh"],
      secrets: secrets(asked.secret, context.host.env),
      ssh: sshAgents(asked.ssh, context.host.env),
      env: terminal(context.environment),
    },
    context.signal,
  );
  return result.exitCode;
}

async function failedPlace(context: CommandContext, engine: Engine, id: string | undefined): Promise<ShellPlace> {
  const { findFailedStep, placeOfFailed } = await import("../../engine/shell.ts");
  const step = findFailedStep(engine, id);
  context.warn(`kiln: in ${printableLine(step.name)}, which ended with ${step.exitCode}; changes are thrown away`);
  tellCommand(context, step);
  return placeOfFailed(step, "after");
}

async function placeBeforeStep(context: CommandContext, engine: Engine, wanted: string): Promise<ShellPlace> {
  const { placeBefore, placeOfFailed } = await import("../../engine/shell.ts");
  const { findStep } = await import("../../engine/find-step.ts");
  const found = findStep(engine.store, wanted);
  context.warn(`kiln: before ${printableLine(found.name)}; changes are thrown away`);
  if (found.kind === "failed") {
    tellCommand(context, found.step);
    return placeOfFailed(found.step, "before");
  }
  const { place, unknown } = placeBefore(found.record, context.environment.platform);
  const mounts = found.record.parts.filter(({ name }) => name.startsWith("mount "));
  if (mounts.length > 0) context.warn("kiln: without the mounts of the step: only those of failed steps are kept");
  if (unknown.length > 0) context.warn(`kiln: without the values of ${unknown.join(", ")}: they are not kept`);
  return place;
}

function tellCommand(context: CommandContext, { name, op }: FailedStep): void {
  const [, , script] = op.argv;
  if (script !== undefined && !name.includes(script)) context.warn(`kiln: it ran ${printable(op.argv.join(" "))}`);
}

function terminal(environment: BuildEnvironment): string[] {
  const { TERM } = environment.env;
  return TERM === undefined ? [] : [`TERM=${TERM}`];
}
