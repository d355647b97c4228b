import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { accountKey } from "../../../lib/registry/account-keys.ts";
import { dockerConfigDirectory } from "../../engine/images/registry-options.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { ask, askPassword, passwordFromStdin } from "../prompt.ts";
import { noticesOnly } from "../progress-output.ts";

/** Declares `kiln login`: tries an account at a registry and stores it where docker does. */
export function loginCommand(program: Command, cli: Cli): void {
  command(program, cli, "login [registry]", run)
    .description("keep an account for a registry (default: Docker Hub)")
    .option("-u, --username <name>", "the user")
    .option("-p, --password <password>", "the password; others can see it, better use --password-stdin")
    .option("--password-stdin", "read the password from standard input")
    .option("--authfile <path>", "the file to keep it in (default: REGISTRY_AUTH_FILE, or docker's config.json)")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .addHelpText(
      "after",
      examples([
        ["kiln login ghcr.io", "asks for user and password"],
        ['echo "$TOKEN" | kiln login -u ci --password-stdin registry.example', "in a pipeline"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const key = registryKey(args[0]);
  const account = await accountOf(context, options);
  const registry = key.split("/")[0] ?? key;
  {
    await using engine = context.openEngine({
      progress: noticesOnly(context),
      insecureRegistries: options["insecure"] === true ? [registry] : [],
      accounts: { own: { registry, credentials: { kind: "basic", ...account } } },
    });
    await (await engine.registry()).ping(registry, context.signal);
  }
  const { keepAccount } = await import("../../../lib/registry/account-file.ts");
  const file = { path: accountFile(context, options), env: context.host.env };
  const place = await keepAccount(file, key, account, context.signal);
  if (place.kind === "file") {
    context.warn(`warning: the password is kept unencrypted in ${printableLine(place.path)}`);
    context.warn("  hint: a credential helper keeps it elsewhere: credsStore in that file");
  }
  context.print("Login Succeeded");
}

/** Reads a registry as people write it: with or without a scheme, Docker Hub when absent. */
export function registryKey(text: string | undefined): string {
  const key = accountKey(text ?? "docker.io");
  if (/^[\w.:[\]-]+(?:\/|$)/.test(key)) return key;
  throw new BuildError("cli/usage", `Cannot use ${JSON.stringify(text)}: it is not the name of a registry`, {
    hint: "write HOST[:PORT], as in registry.example:5000",
  });
}

/** Chooses the file for accounts. */
export function accountFile(context: CommandContext, options: Readonly<Record<string, unknown>>): string {
  const { authfile } = options;
  const named = typeof authfile === "string" ? authfile : context.host.env["REGISTRY_AUTH_FILE"];
  const byDefault = `${dockerConfigDirectory(context.environment)}/config.json`;
  return resolve(context.host.workingDirectory, named === undefined || named === "" ? byDefault : named);
}

async function accountOf(
  context: CommandContext,
  options: Readonly<Record<string, unknown>>,
): Promise<{ readonly username: string; readonly password: string }> {
  const { username: user, password: given } = options;
  const isPiped = options["passwordStdin"] === true;
  if (isPiped && typeof given === "string") {
    throw new BuildError("cli/usage", "Cannot use --password and --password-stdin together");
  }
  if (isPiped && typeof user !== "string") {
    throw new BuildError("cli/usage", "Cannot use --password-stdin without a user", { hint: "add -u USER" });
  }
  const username = typeof user === "string" ? user : await ask(context, "Username: ");
  if (typeof given === "string") {
    context.warn("warning: other users of this machine can see a password among the words of a command");
    context.warn("  hint: use --password-stdin");
  }
  const typed = async (): Promise<string> =>
    isPiped ? passwordFromStdin(context) : askPassword(context, "Password: ");
  const password = typeof given === "string" ? given : await typed();
  if (username !== "" && password !== "") return { username, password };
  throw new BuildError("cli/usage", `Cannot log in: the ${username === "" ? "user" : "password"} is empty`);
}
