import type { Command } from "commander";
import { printableJson } from "../../../lib/core/printable.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { jsonOrTable } from "../flags/format.ts";
import { registryEngine } from "../registry-engine.ts";
import { readKeyFile } from "./sign.ts";

/** Declares `kiln verify`: checks that an image in a registry is signed by a key. */
export function verifyCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "verify <image>", run))
    .description("check that an image in a registry is signed by a key")
    .requiredOption("--key <file>", "public key in PEM")
    .option("--format <format>", "table, or json: the digest and where its signatures are", "table")
    .option("--insecure", "plain HTTP or an unverified certificate is fine")
    .addHelpText(
      "after",
      examples([
        ["kiln verify --key cosign.pub ghcr.io/team/app:1", "ends with 1 when it is not signed"],
        ["kiln pull ghcr.io/team/app@$(kiln verify --key cosign.pub ghcr.io/team/app:1)", "just what was checked"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const image = parseReference(args[0] ?? "");
  const isJson = jsonOrTable(options["format"]);
  const file = String(options["key"]);
  const pem = await readKeyFile(context, file);
  const { readVerifyingKey } = await import("../../engine/sign/keys.ts");
  const { verifyImage } = await import("../../engine/sign/verify-image.ts");
  const key = readVerifyingKey(pem, file);
  await using engine = registryEngine(
    context,
    options,
    [image.registry],
    await givenAccounts(context, options, image.registry),
  );
  const verified = await verifyImage(await engine.registry(), image, key, context.signal);
  if (isJson) {
    context.print(printableJson(verified));
    return;
  }
  const forms = verified.signatures.map(({ form }) => (form === "bundle" ? "bundle" : "signature tag"));
  context.warn(`Signed by this key: ${familiarReference(image)} (${[...new Set(forms)].join(", ")})`);
  context.print(verified.digest);
}
