import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { findImage, platformOrDefault } from "../find-image.ts";
import { noticesOnly, openProgress, progressMode } from "../progress-output.ts";
import { declareRunFlags, refuseNotItsJob, type RunFlags, runFlagsShape } from "../run/flags.ts";
import { describePorts, runOptions } from "../run/options.ts";
import { chosenPorts, exposedPorts } from "../run/ports.ts";

/** Declares `kiln run`: tries an image out. Its changes are discarded at the end; its exit status is ours. */
export function runCommand(program: Command, cli: Cli): void {
  const declared = command(program, cli, "run <image> [command...]", (context, args, options) => {
    refuseNotItsJob(options);
    return run(context, args, optionsAs(runFlagsShape, options));
  })
    .description("run a command in an image, on a throw-away layer")
    .helpOption("--help", "display help for command")
    .passThroughOptions();
  declareRunFlags(declared);
  declared.addHelpText(
    "after",
    examples([
      ["kiln run app", "what the image is made to run"],
      ["kiln run alpine cat /etc/os-release", "something else in it; what is not here is pulled"],
      ["kiln run -v ./data:/data:ro app ls /data", "with files of this machine"],
      ["kiln run -p 8080:80 nginx", "with a port"],
      ["kiln run --read-only --tmpfs /tmp --cap-drop ALL app", "with as few rights as it needs"],
    ]),
  );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  flags: RunFlags & Readonly<Record<string, unknown>>,
): Promise<number> {
  const [name = "", ...words] = args;
  // Before the image is looked up: errors of the command line come first.
  const policy = pullPolicy(flags);
  const { warnings, ...given } = runOptions(flags, context);
  for (const warning of warnings) context.warn(`WARNING: ${warning}`);
  const { runImage } = await import("../../engine/run-image.ts");
  const display = openProgress(progressMode(undefined, flags.quiet === true, context.host), context.host, "Pulling");
  const notices = noticesOnly(context);
  let isPulling = false;
  await using engine = context.openEngine({
    progress: (event) => (isPulling ? display.sink(event) : notices(event)),
  });
  const pull = async (): Promise<StoredImage> => {
    isPulling = true;
    try {
      const { pullImage } = await import("../../engine/images/pull-image.ts");
      const platform = platformOrDefault(context, flags);
      const wanted = { reference: parseReference(name), platform, isStep: false };
      await pullImage(engine, wanted, display.sink, context.signal);
      display.finish("success");
    } catch (error) {
      display.finish("failure");
      throw error;
    } finally {
      isPulling = false;
    }
    return findImage(context, engine.store, name, flags);
  };
  const image =
    policy === "always"
      ? await pull()
      : await findOr(() => findImage(context, engine.store, name, flags), policy === "missing" ? pull : undefined);
  const asked = [
    ...given.ports,
    ...(flags.publishAll === true && given.network === "sandbox" ? exposedPorts(image.config.config.ExposedPorts) : []),
  ];
  const ports = await chosenPorts(asked);
  if (flags.quiet !== true) for (const line of describePorts(asked, ports)) context.warn(line);
  const result = await runImage(engine, { ...given, ports, image, command: words }, context.signal);
  return result.exitCode;
}

async function findOr(find: () => StoredImage, pull: (() => Promise<StoredImage>) | undefined): Promise<StoredImage> {
  try {
    return find();
  } catch (error) {
    if (pull === undefined || !(error instanceof BuildError) || error.code !== "image/not-found") throw error;
  }
  return pull();
}

const POLICIES: Readonly<Record<string, "always" | "missing" | "never">> = {
  always: "always",
  newer: "always",
  missing: "missing",
  ifnotpresent: "missing",
  never: "never",
};

function pullPolicy({ pull: text }: RunFlags): "always" | "missing" | "never" {
  if (text === undefined) return "missing";
  if (text === "") return "always";
  const policy = Object.hasOwn(POLICIES, text) ? POLICIES[text] : undefined;
  if (policy !== undefined) return policy;
  throw new BuildError("cli/usage", `Cannot use --pull ${JSON.stringify(text)}`, { hint: "always, missing or never" });
}
