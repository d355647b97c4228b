import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { registryKey } from "./login.ts";
import { registryEngine } from "../registry-engine.ts";

/** `kiln registry check`: what decides how a registry is reached, and whether it can be. */
export function registryCheckCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "registry-check <registry[/repository]>", run))
    .description("say which files decide how a registry is reached, and try it (registry check)")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .addHelpText(
      "after",
      examples([
        ["kiln registry check ghcr.io", "account, mirrors, certificates"],
        ["kiln registry check registry.example/team/app", "of one repository"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const key = registryKey(args[0]);
  const slash = key.indexOf("/");
  const registry = slash === -1 ? key : key.slice(0, slash);
  const repository = slash === -1 ? "" : parseReference(key).repository;
  const { checkRegistry } = await import("../../engine/images/check-registry.ts");
  const accounts = await givenAccounts(context, options, registry);
  await using engine = registryEngine(context, options, [registry], accounts);
  const insecure = new Set(options["insecure"] === true ? [registry] : []);
  const place = { registry, repository };
  const report = await checkRegistry(engine, { place, insecure, accounts }, context.signal);
  context.print(printableLine(`registry   ${registry}`));
  context.print(printableLine(`account    ${report.account}`));
  for (const { what, file } of report.settings) context.print(printableLine(`setting    ${what} (${file})`));
  for (const name of report.mirrors) context.print(printableLine(`mirror     ${name}`));
  if (report.proxy !== undefined) context.print(printableLine(`proxy      ${report.proxy}`));
  if (report.failure === undefined) {
    context.print(`answer     ${repository === "" ? "the registry takes this account" : `${key} can be read`}`);
    return 0;
  }
  context.print(printableLine(`answer     ${report.failure.message}`));
  if (report.failure instanceof BuildError && report.failure.hint !== undefined) {
    context.print(printableLine(`hint       ${report.failure.hint}`));
  }
  return 1;
}
