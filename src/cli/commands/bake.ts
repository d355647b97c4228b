import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { formatPlatform } from "../../../lib/core/platform.ts";
import { printableJson } from "../../../lib/core/printable.ts";
import { FLAG, list, object, optional, TEXT } from "../../../lib/core/shape.ts";
import { type Definition } from "../../bake/definition.ts";
import type { DefinitionHost } from "../../bake/globals.ts";
import { loadDefinition } from "../../bake/load.ts";
import { listTargets, printPlan, valueText } from "../../bake/print.ts";
import { makePlan } from "../../bake/resolve.ts";
import { ACCEPTED_GROUP } from "../flags/accepted.ts";
import { attestation } from "../bake-attestation.ts";
import { bakeSources, composeHost, projectName } from "../bake-files.ts";
import { requireRights } from "../bake-rights.ts";
import { bakeWords, type RemoteBake } from "../remote-bake.ts";
import { type Cli, command, examples, optionsAs } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { table } from "../table.ts";
import { MODES_TEXT } from "../progress-output.ts";

/** The flags as commander reads them. */
interface BakeFlags {
  readonly file: readonly string[];
  readonly set: readonly string[];
  readonly var: readonly string[];
  readonly allow: readonly string[];
  readonly print?: boolean;
  readonly list?: string;
  readonly push?: boolean;
  readonly load?: boolean;
  readonly cache: boolean;
  readonly pull?: boolean;
  readonly progress?: string;
  readonly metadataFile?: string;
  readonly call?: string;
  readonly check?: boolean;
  readonly provenance?: string;
  readonly sbom?: string;
  readonly offline?: boolean;
  readonly builder?: string;
  readonly jobs?: string;
}

const flagsShape = object<BakeFlags>({
  file: list(TEXT),
  set: list(TEXT),
  var: list(TEXT),
  allow: list(TEXT),
  print: optional(FLAG),
  list: optional(TEXT),
  push: optional(FLAG),
  load: optional(FLAG),
  cache: FLAG,
  pull: optional(FLAG),
  progress: optional(TEXT),
  metadataFile: optional(TEXT),
  call: optional(TEXT),
  check: optional(FLAG),
  provenance: optional(TEXT),
  sbom: optional(TEXT),
  offline: optional(FLAG),
  builder: optional(TEXT),
  jobs: optional(TEXT),
});

/** Declares `kiln bake`, with the flags of `docker buildx bake`. */
export function bakeCommand(program: Command, cli: Cli): void {
  const bake = command(program, cli, "bake [url|target...]", (context, args, options) =>
    run(context, args, optionsAs(flagsShape, options)),
  ).description("build the targets of docker-bake and compose files");
  const each = (value: string, before: readonly string[]): readonly string[] => [...before, value];
  bake.option("-f, --file <path>", "a definition: HCL, JSON, a compose file, or - for standard input", each, []);
  bake.option(
    "--set <target.key=value>",
    "another value for an attribute: app.args.X=1, *.platform=linux/arm64",
    each,
    [],
  );
  bake.option("--var <name=value>", "a value for a variable", each, []);
  bake.option("--print", "show what would be built, as JSON, and build nothing");
  bake.option("--list <what>", "targets or variables; also ,format=json");
  bake.option("--push", "push the images");
  bake.option("--load", "keep the images in the local store");
  bake.option("--no-cache", "run every step again");
  bake.option("--pull", "ask registries whether base images have changed");
  bake.option("--progress <mode>", MODES_TEXT);
  bake.option("--metadata-file <path>", "write what was built to a file, as JSON");
  bake.option("--call <method>", "build, check, outline or targets");
  bake.option("--check", "report findings of the build checks instead of building");
  bake.option("--provenance <attributes>", "attest how the images were built");
  bake.option("--allow <entitlement>", "network.host, security.insecure, ssh, fs.read=PATH, fs.write=PATH", each, []);
  bake.option("--jobs <count>", "steps of all targets at one time (default: processors, at least 4)");
  bake.option("--offline", "ask no registry: base images are those of the store");
  bake.addOption(bake.createOption("--sbom <attributes>", "attach a list of the image's packages: true or false"));
  bake.addOption(bake.createOption("--builder <name>", "ignored: kiln builds by itself").helpGroup(ACCEPTED_GROUP));
  bake.addHelpText(
    "after",
    examples([
      ["kiln bake", "the group or target named default"],
      ["kiln bake --print app", "what would be built for app"],
      ["kiln bake --set '*.args.VERSION=2' --push", "with another build argument, to the registry"],
      ["kiln bake https://github.com/docker/cli.git#master", "the definition of a repository"],
      ["kiln bake -f compose.yaml web", "a service of a compose file"],
    ]),
  );
}

async function run(context: CommandContext, args: readonly string[], flags: BakeFlags): Promise<number | void> {
  const { url, context: commandContext, targets: names } = bakeWords(args);
  const remote = url === undefined ? undefined : await remoteSources(context, url, flags);
  const local = url === undefined ? flags.file : flags.file.filter((name) => name.startsWith("cwd://"));
  const sources = [
    ...(remote?.sources ?? []),
    ...(url !== undefined && local.length === 0 ? [] : await bakeSources(context, local)),
  ];
  const host = definitionHost(context, flags.var, commandContext);
  const definition = await loadDefinition(sources, host, async () => {
    const { readCompose } = await import("../../bake/compose/compose.ts");
    const given = composeHost(context, variables(flags.var));
    const read = remote === undefined ? given.read : (): undefined => undefined;
    // As buildx calls a project without a name.
    return (files) => {
      const lookup = (name: string): string | undefined =>
        given.lookup(name) ?? (name === "COMPOSE_PROJECT_NAME" ? (projectName(files) ?? "bake") : undefined);
      return readCompose(files, { ...given, lookup, read, paths: "of-first-file" });
    };
  });
  if (flags.list !== undefined) {
    printList(context, definition, flags.list);
    return;
  }
  const plan = makePlan(
    definition,
    names.length === 0 ? ["default"] : names,
    overrides(definition, flags, context.host.env),
  );
  if (flags.print === true) {
    context.print(printPlan(remote?.shown(plan) ?? plan));
    return;
  }
  const { env, workingDirectory } = context.host;
  requireRights(plan.targets.values(), { allow: flags.allow, sets: flags.set, workingDirectory, env });
  const { bakePlan } = await import("../bake-plan.ts");
  return bakePlan(context, remote?.placed(plan) ?? plan, flags);
}

async function remoteSources(
  context: CommandContext,
  url: string,
  { file, offline }: Pick<BakeFlags, "file" | "offline">,
): Promise<RemoteBake> {
  const { readRemoteBake } = await import("../remote-bake.ts");
  return readRemoteBake(context, url, { names: file, offline: offline === true });
}

/** Flags that stand for `--set` on all targets. */
function overrides({ targets }: Definition, flags: BakeFlags, env: CommandContext["host"]["env"]): string[] {
  if (targets.length === 0) return [...flags.set];
  const call = flags.check === true ? "lint" : flags.call === "check" ? "lint" : flags.call;
  return [
    ...flags.set.flatMap((text) => {
      // An argument without a value takes that of the environment, or is not given.
      const [, name] = /^[^.=]+\.args\.([^=]+)$/.exec(text) ?? [];
      if (name === undefined) return [text];
      return env[name] === undefined ? [] : [`${text}=${env[name]}`];
    }),
    ...(call === undefined ? [] : [`*.call=${call}`]),
    ...(flags.push === true ? ["*.push=true"] : []),
    ...(flags.load === true ? ["*.load=true"] : []),
    ...(flags.cache ? [] : ["*.no-cache=true"]),
    ...(flags.pull === true ? ["*.pull=true"] : []),
    ...(flags.provenance === undefined ? [] : [`*.attest=${attestation("provenance", flags.provenance)}`]),
    ...(flags.sbom === undefined ? [] : [`*.attest=${attestation("sbom", flags.sbom)}`]),
  ];
}

function variables(given: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    given.map((text) => {
      const equals = text.indexOf("=");
      if (equals <= 0)
        throw new BuildError("cli/usage", `Cannot read --var ${JSON.stringify(text)}: it is not NAME=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)] as const;
    }),
  );
}

function definitionHost(context: CommandContext, given: readonly string[], commandContext: string): DefinitionHost {
  const { env } = context.host;
  const own = variables(given);
  const isClosed = /^(?:1|t|true)$/i.test(env["BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP"] ?? "");
  return {
    lookup: (name) => own.get(name) ?? (isClosed ? undefined : env[name]),
    builtin: new Map([
      ["BAKE_CMD_CONTEXT", commandContext],
      ["BAKE_LOCAL_PLATFORM", formatPlatform(context.environment.platform)],
    ]),
    nowMs: () => context.host.nowMs(),
    uuid: () => randomUUID(),
    homeDirectory: context.host.homeDirectory,
  };
}

/** Answers `--list`. */
function printList(context: CommandContext, definition: Definition, text: string): void {
  const words = text.split(",").map((word) => word.replace(/^type=/, ""));
  const what = words.find((word) => word === "targets" || word === "variables");
  const bad = words.find((word) => !["targets", "variables", "format=json", "format=table"].includes(word));
  if (what === undefined || bad !== undefined) {
    throw new BuildError("cli/usage", `Cannot use --list ${JSON.stringify(text)}`, {
      hint: "it is targets or variables, also with ,format=json",
    });
  }
  const isJson = words.includes("format=json");
  if (what === "targets") {
    const rows = listTargets(definition);
    if (isJson) {
      context.print(
        printableJson(
          rows.map(({ name, description, isGroup }) => ({
            name,
            ...(description === "" ? {} : { description }),
            ...(isGroup ? { group: true } : {}),
          })),
          2,
        ),
      );
    } else
      printTable(
        context,
        ["TARGET", "DESCRIPTION"],
        rows.map(({ name, description }) => [name, description]),
      );
    return;
  }
  if (isJson) {
    const rows = definition.variables.map(({ name, description, type, value }) => ({
      name,
      ...(description === undefined ? {} : { description }),
      ...(type === undefined ? {} : { type }),
      ...(value === null ? {} : { value: valueText(value) }),
    }));
    context.print(printableJson(rows, 2));
    return;
  }
  const rows = definition.variables.map(({ name, description, type, value }) => [
    name,
    type ?? "",
    valueText(value),
    description ?? "",
  ]);
  printTable(context, ["VARIABLE", "TYPE", "VALUE", "DESCRIPTION"], rows);
}

function printTable(context: CommandContext, header: readonly string[], rows: readonly (readonly string[])[]): void {
  for (const line of table(header, rows)) context.print(line);
}
