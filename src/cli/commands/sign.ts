import { resolve } from "node:path";
import type { Command } from "commander";
import { BuildError, errnoOf, messageOf } from "../../../lib/core/errors.ts";
import { readGiven } from "../../../lib/core/given-file.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { askPassword, passwordFromStdin } from "../prompt.ts";
import { registryEngine } from "../registry-engine.ts";

const MAX_KEY_BYTES = 64 << 10;

/** Declares `kiln sign`: signs an image in a registry with a key. */
export function signCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "sign <image>", run))
    .description("sign an image in a registry with a key, as cosign does")
    .requiredOption("--key <file>", "private key: cosign's, or ECDSA P-256 in PEM")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .addHelpText(
      "after",
      examples([
        ["kiln sign --key cosign.key ghcr.io/team/app:1", "the password is asked for"],
        ["COSIGN_PASSWORD=... kiln sign --key cosign.key ghcr.io/team/app:1", "in a pipeline; or on standard input"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const image = parseReference(args[0] ?? "");
  const file = String(options["key"]);
  const pem = await readKeyFile(context, file);
  const { readSigningKey } = await import("../../engine/sign/keys.ts");
  const { signImage } = await import("../../engine/sign/sign-image.ts");
  const key = await readSigningKey(pem, file, () => passwordOf(context));
  await using engine = registryEngine(
    context,
    options,
    [image.registry],
    await givenAccounts(context, options, image.registry),
  );
  const signed = await signImage(await engine.registry(), image, key, context.signal);
  const said = signed.isNew ? "Signed" : "This key had signed";
  context.warn(`${said} ${familiarReference({ ...image, tag: undefined, digest: signed.digest })}`);
  context.print(signed.digest);
}

/** Reads the file of a key. */
export async function readKeyFile(context: CommandContext, file: string): Promise<string> {
  const refuse = (why: string): BuildError =>
    new BuildError("signature/key", `Cannot read the key ${JSON.stringify(file)}: ${why}`);
  try {
    const path = resolve(context.host.workingDirectory, file);
    return (await readGiven({ path, refuse }, MAX_KEY_BYTES, context.signal)).toString("utf8");
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw refuse(errnoOf(error) === "ENOENT" ? "there is no such file" : messageOf(error));
  }
}

/** Finds a key's password: COSIGN_PASSWORD, else the terminal, else standard input. */
async function passwordOf(context: CommandContext): Promise<string> {
  const { env, stdin } = context.host;
  const given = env["COSIGN_PASSWORD"];
  if (given !== undefined) return given;
  if (stdin.isTTY === true) return askPassword(context, "Password of the key: ");
  return passwordFromStdin(context);
}
