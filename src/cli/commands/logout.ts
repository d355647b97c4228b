import type { Command } from "commander";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountFile, registryKey } from "./login.ts";

/** Declares `kiln logout`: forgets the account for a registry. */
export function logoutCommand(program: Command, cli: Cli): void {
  command(program, cli, "logout [registry]", run)
    .description("forget the account for a registry (default: Docker Hub)")
    .option("--authfile <path>", "the file it is in (default: REGISTRY_AUTH_FILE, or docker's config.json)")
    .addHelpText("after", examples([["kiln logout ghcr.io", "the account is taken out of the file"]]));
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const key = registryKey(args[0]);
  const { forgetAccount } = await import("../../../lib/registry/account-file.ts");
  const file = { path: accountFile(context, options), env: context.host.env };
  const wasKnown = await forgetAccount(file, key, context.signal);
  context.print(wasKnown ? `Removed the account for ${key}` : `Not logged in to ${key}`);
}
