import { basename, join, resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { FLAG, list, object, optional, TEXT } from "../../../lib/core/shape.ts";
import { readCompose } from "../../bake/compose/compose.ts";
import type { Definition, Target } from "../../bake/definition.ts";
import { printPlan } from "../../bake/print.ts";
import { makePlan } from "../../bake/resolve.ts";
import { attestation } from "../bake-attestation.ts";
import { ACCEPTED_GROUP } from "../flags/accepted.ts";
import { composeHost, projectName, composeSources } from "../bake-files.ts";
import { requireRights } from "../bake-rights.ts";
import { bakePlan } from "../bake-plan.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { MODES_TEXT } from "../progress-output.ts";

interface ComposeFlags {
  readonly file: readonly string[];
  readonly projectName?: string;
  readonly buildArg: readonly string[];
  readonly allow: readonly string[];
  readonly cache: boolean;
  readonly pull?: boolean;
  readonly push?: boolean;
  readonly quiet?: boolean;
  readonly print?: boolean;
  readonly progress?: string;
  readonly envFile: readonly string[];
  readonly projectDirectory?: string;
  readonly profile: readonly string[];
  readonly check?: boolean;
  readonly ssh: readonly string[];
  readonly provenance?: string;
  readonly sbom?: string;
}

const flagsShape = object<ComposeFlags>({
  file: list(TEXT),
  projectName: optional(TEXT),
  buildArg: list(TEXT),
  allow: list(TEXT),
  cache: FLAG,
  pull: optional(FLAG),
  push: optional(FLAG),
  quiet: optional(FLAG),
  print: optional(FLAG),
  progress: optional(TEXT),
  envFile: list(TEXT),
  projectDirectory: optional(TEXT),
  profile: list(TEXT),
  check: optional(FLAG),
  ssh: list(TEXT),
  provenance: optional(TEXT),
  sbom: optional(TEXT),
});

/** Declares `kiln compose build`, in one word for commander. */
export function composeBuildCommand(program: Command, cli: Cli): void {
  const build = command(program, cli, "compose-build [service...]", (context, args, options) =>
    run(context, args, optionsAs(flagsShape, options)),
  ).description("build the services of a compose file (kiln compose build)");
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  build.option("-f, --file <path>", "a compose file, repeatable (COMPOSE_FILE)", each, []);
  build.option("-p, --project-name <name>", "beginning of the names of images (COMPOSE_PROJECT_NAME)");
  build.option("--build-arg <name=value>", "a value for ARG of every service", each, []);
  build.option("--allow <entitlement>", "network.host or security.insecure, for services that ask for it", each, []);
  build.option("--no-cache", "run every step again");
  build.option("--pull", "ask registries whether base images have changed");
  build.option("--push", "push the images");
  build.option("--print", "show what would be built, as a bake file in JSON");
  build.option("--profile <name>", "also the services of a profile, * for all (COMPOSE_PROFILES)", each, []);
  build.option("--env-file <path>", "variables of the files (.env of the project's directory)", each, []);
  build.option("--project-directory <path>", "what paths are relative to (the first file's directory)");
  build.option("--check", "report findings of the build checks instead of building");
  build.option("--ssh <id>", "an agent or keys for every service: default, or id=path", each, []);
  build.option("--provenance <attributes>", "attest how the images were built");
  build.option("--sbom <attributes>", "attach a list of the image's packages: true or false");
  build.option("--progress <mode>", MODES_TEXT);
  build.option("-q, --quiet", "print only the images' ids");
  for (const flag of ["--ansi <when>", "--builder <name>", "--compress", "--force-rm", "--parallel <count>", "--no-rm"])
    build.addOption(build.createOption(flag, "no effect here").helpGroup(ACCEPTED_GROUP));
  build.addHelpText(
    "after",
    examples([
      ["kiln compose build", "all services with a build section"],
      ["kiln compose build web --push", "one, and push it"],
    ]),
  );
}

async function run(context: CommandContext, args: readonly string[], flags: ComposeFlags): Promise<number | void> {
  const { env, workingDirectory } = context.host;
  const { files, directory: own } = await composeSources(context, flags.file);
  const directory = flags.projectDirectory ?? own;
  const envFiles = flags.envFile.length > 0 ? flags.envFile : [join(directory, ".env")];
  const profiles = [...flags.profile, ...(env["COMPOSE_PROFILES"] ?? "").split(",").filter((one) => one !== "")];
  const given = composeHost(context, new Map(), envFiles);
  const folder = basename(resolve(workingDirectory, directory));
  const name = flags.projectName ?? (env["COMPOSE_PROJECT_NAME"] || projectName(files) || folder);
  const project = name.toLowerCase().replaceAll(/[^a-z0-9_-]/g, "");
  const lookup = (variable: string): string | undefined =>
    variable === "COMPOSE_PROJECT_NAME" ? project : given.lookup(variable);
  const read = readCompose(files, { ...given, lookup, paths: "of-names", directory, profiles });
  const definition: Definition = {
    ...read,
    targets: read.targets.map((target) => inProject(target, project)),
  };
  if (definition.targets.length === 0) throw new BuildError("bake/definition", "No service has a build section");
  const sets = [
    ...flags.buildArg.flatMap((text) => {
      if (text.includes("=")) return [`*.args.${text}`];
      return env[text] === undefined ? [] : [`*.args.${text}=${env[text]}`];
    }),
    ...flags.ssh.map((text) => `*.ssh=${text}`),
    ...(flags.check === true ? ["*.call=lint"] : []),
    ...(flags.provenance === undefined ? [] : [`*.attest=${attestation("provenance", flags.provenance)}`]),
    ...(flags.sbom === undefined ? [] : [`*.attest=${attestation("sbom", flags.sbom)}`]),
    ...(flags.cache ? [] : ["*.no-cache=true"]),
    ...(flags.pull === true ? ["*.pull=true"] : []),
    ...(flags.push === true ? ["*.push=true"] : []),
  ];
  const plan = makePlan(definition, args.length === 0 ? ["default"] : args, sets);
  if (flags.print === true) {
    context.print(printPlan(plan));
    return;
  }
  // A compose file may name any path, as with docker compose; rights of steps are the user's to give.
  const allow = ["fs=*", "ssh", ...flags.allow];
  requireRights(plan.targets.values(), { allow, sets: [], workingDirectory, env });
  return bakePlan(context, plan, flags);
}

/** Names a service's image as compose does. */
function inProject(target: Target, project: string): Target {
  if (target.fields.has("tags")) return target;
  return { ...target, fields: new Map([...target.fields, ["tags", [`${project}-${target.name}`]]]) };
}
