import { BuildError } from "../../lib/core/errors.ts";
import { didYouMean } from "../../lib/core/suggest.ts";
import type { CommandNode } from "../syntax/ast.ts";
import type { InstructionContext } from "./context.ts";
import { FLAGS, readFlagTable } from "./flag-table.ts";
import type { Command, MountFlag, RunInstruction, Word } from "./instruction.ts";
import { mountSource } from "./mount.ts";

const NETWORKS = ["default", "none", "host"] as const;
const SECURITIES = ["sandbox", "insecure"] as const;

export function buildRun(context: InstructionContext, command: CommandNode): RunInstruction {
  const flags = readFlagTable(context, FLAGS.run);
  const mounts = flags.flags("mount").map((flag): MountFlag => {
    return { ...flag, from: mountSource(flag) };
  });
  return {
    ...context.text,
    kind: "run",
    command: toCommand(context, command),
    heredocs: context.heredocs,
    mounts,
    devices: flags.flags("device"),
    network: choose(flags.text("network"), NETWORKS, (value) => `invalid network mode ${value}`),
    security: choose(flags.text("security"), SECURITIES, (value) => `security ${value} is not valid`),
  };
}

/** Builds the command of RUN, CMD, ENTRYPOINT or HEALTHCHECK. */
export function toCommand({ line, node }: InstructionContext, command: CommandNode): Command {
  if (command.form === "exec") {
    const argv = command.argv.map((element) => element.text);
    return { form: "exec", argv, span: line.span(command.start, command.end) };
  }
  const { text } = command;
  const { start, end } = text ?? node.keyword;
  return { form: "shell", text: text?.text ?? "", span: line.span(start, end) };
}

/** Reads one of a few values. The first of `values` is the default. */
function choose<T extends string>(
  word: Word | undefined,
  values: readonly [T, ...T[]],
  refuse: (quoted: string) => string,
): T {
  if (word === undefined) return values[0];
  const found = values.find((value) => value === word.text);
  if (found !== undefined) return found;
  const message = `${refuse(JSON.stringify(word.text))}${didYouMean(word.text, values)}`;
  throw new BuildError("dockerfile/syntax", message, { span: word.span, hint: `write ${values.join(", ")}` });
}
