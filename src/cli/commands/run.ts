import type { Command } from "commander";
import { resolve } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage } from "../find-image.ts";
import { malformed } from "../flags/csv.ts";
import { fromEnvironment } from "../flags/values.ts";
import { noticesOnly } from "../progress-output.ts";

/** Declares `kiln run`: tries an image out. Its changes are discarded at the end; its exit status is ours. */
export function runCommand(program: Command, cli: Cli): void {
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  command(program, cli, "run <image> [command...]", run)
    .description("run a command in an image, on a throw-away layer")
    .passThroughOptions()
    .option("-e, --env <name=value>", "an environment variable; a bare name is passed on", each, [])
    .option("-v, --volume <path:target[:ro]>", "a directory or file of this machine", each, [])
    .option("-w, --workdir <path>", "where to run")
    .option("-u, --user <user[:group]>", "the user that runs it")
    .option("--entrypoint <program>", "instead of the image's own; empty for none")
    .option("--network <mode>", "default, none, host or sandbox")
    .option("--hostname <name>", "the container's name of itself")
    .option("--platform <os/arch>", "which of several platforms")
    .option("-i, --interactive", "accepted: standard input is always passed on")
    .option("-t, --tty", "accepted: a call from a terminal always gets one inside")
    .option("--rm", "accepted: nothing is ever kept")
    .addHelpText(
      "after",
      examples([
        ["kiln run app", "what the image is made to run"],
        ["kiln run alpine cat /etc/os-release", "something else in it"],
        ["kiln run -v ./data:/data:ro app ls /data", "with files of this machine"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const [name = "", ...words] = args;
  const { runImage } = await import("../../engine/run-image.ts");
  const text = (key: string): string | undefined => {
    const value = options[key];
    return typeof value === "string" ? value : undefined;
  };
  const { entrypoint } = options;
  // Before the image is looked up: errors of the command line come first.
  const given = {
    env: environment(textsIn(options, "env"), context.host.env),
    network: networkOf(text("network")),
    mounts: textsIn(options, "volume").map((volume) => mountOf(volume, context)),
  };
  await using engine = context.openEngine({ progress: noticesOnly(context) });
  const image = findImage(context, engine.store, name, options);
  const result = await runImage(
    engine,
    {
      image,
      command: words,
      entrypoint: typeof entrypoint === "string" ? (entrypoint === "" ? [] : [entrypoint]) : undefined,
      ...given,
      workingDirectory: text("workdir"),
      user: text("user"),
      hostname: text("hostname"),
      terminal: context.host.stdin.isTTY === true && context.host.stdout.isTTY === true,
    },
    context.signal,
  );
  return result.exitCode;
}

function environment(flags: readonly string[], env: Readonly<Record<string, string | undefined>>): string[] {
  return flags.flatMap((flag) => {
    if (flag.startsWith("=")) throw malformed("env", flag, "it has no name", 'write "name=value"');
    if (flag.includes("=")) return [flag];
    const value = fromEnvironment(flag, env);
    return value === undefined ? [] : [`${flag}=${value}`];
  });
}

function mountOf(
  volume: string,
  context: CommandContext,
): { readonly hostPath: string; readonly target: string; readonly mode: "ro" | "rw" } {
  const [hostPath = "", target, mode = "rw", ...rest] = volume.split(":");
  if (
    hostPath === "" ||
    target === undefined ||
    !target.startsWith("/") ||
    rest.length > 0 ||
    (mode !== "ro" && mode !== "rw")
  ) {
    throw new BuildError("cli/usage", `Cannot read --volume ${JSON.stringify(volume)}`, {
      hint: 'write it like "./data:/data" or "./data:/data:ro"',
    });
  }
  return { hostPath: resolve(context.host.workingDirectory, hostPath), target, mode };
}

function networkOf(text: string | undefined): "default" | "none" | "host" | "sandbox" {
  if (text === undefined || text === "default" || text === "bridge") return "default";
  if (text === "none" || text === "host" || text === "sandbox") return text;
  throw new BuildError("cli/usage", `Cannot use --network ${JSON.stringify(text)}`, {
    hint: "use default, none, host or sandbox",
  });
}
