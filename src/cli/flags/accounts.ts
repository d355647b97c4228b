import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import type { GivenAccounts } from "../../engine/images/registry-options.ts";
import type { CommandContext } from "../context.ts";
import { askPassword } from "../prompt.ts";

/** Declares podman's flags for accounts. */
export function accountOptions(command: Command): Command {
  return command
    .option(
      "--authfile <path>",
      "the only file to take accounts from (REGISTRY_AUTH_FILE names one to look into first)",
    )
    .option("--creds <user[:password]>", "the account for this registry");
}

/**
 * Reads --authfile and --creds; the latter are for one registry.
 * @throws {BuildError} `cli/usage`
 */
export async function givenAccounts(
  context: CommandContext,
  options: Readonly<Record<string, unknown>>,
  registry: string,
): Promise<GivenAccounts> {
  const { authfile, creds } = options;
  return {
    ...(typeof authfile === "string" ? { file: resolve(context.host.workingDirectory, authfile) } : {}),
    ...(typeof creds === "string" ? { own: { registry, credentials: await credentialsOf(context, creds) } } : {}),
  };
}

async function credentialsOf(
  context: CommandContext,
  text: string,
): Promise<NonNullable<GivenAccounts["own"]>["credentials"]> {
  const colon = text.indexOf(":");
  const username = colon === -1 ? text : text.slice(0, colon);
  if (username === "") {
    throw new BuildError("cli/usage", "Cannot use --creds: it has no user", { hint: "write --creds USER:PASSWORD" });
  }
  const password = colon === -1 ? await askPassword(context, `Password for ${username}: `) : text.slice(colon + 1);
  return { kind: "basic", username, password };
}
