import type { Command } from "commander";
import { parsePlatform } from "../../../lib/core/platform.ts";
import { familiarReference, parseReference } from "../../../lib/core/reference.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { accountOptions, givenAccounts } from "../flags/accounts.ts";
import { texts } from "../flags/texts.ts";
import { blobCounter, registryEngine } from "../registry-engine.ts";

/** Declares `kiln copy`: copies an image from one registry to another, without keeping it here. */
export function copyCommand(program: Command, cli: Cli): void {
  accountOptions(command(program, cli, "copy <source> <destination>", run))
    .description("copy an image between repositories, with all its platforms")
    .option("--platform <os/arch>", "only these, separated by commas", texts, [])
    .option("--referrers", "also what refers to it: signatures, SBOMs, statements")
    .option("--insecure", "plain HTTP or an unverified certificate is fine, on both sides")
    .option("-q, --quiet", "print only the digest")
    .addHelpText(
      "after",
      examples([
        ["kiln copy alpine:3.22 registry.example/alpine:3.22", "all platforms"],
        ["kiln copy --referrers ghcr.io/team/app:1 ghcr.io/team/app:stable", "a release, with its signatures"],
      ]),
    );
}

async function run(
  context: CommandContext,
  args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const from = parseReference(args[0] ?? "");
  const to = parseReference(args[1] ?? "");
  const { copyImage } = await import("../../engine/remote/copy-image.ts");
  const wanted = platformsOf(context, options["platform"]);
  const accounts = await givenAccounts(context, options, to.registry);
  await using engine = registryEngine(context, options, [from.registry, to.registry], accounts);
  const counter = blobCounter();
  const request = { from, to, platforms: wanted, referrers: options["referrers"] === true, onBlob: counter.note };
  const copied = await copyImage(await engine.registry(), request, context.signal);
  if (options["quiet"] !== true) context.warn(`Copied to ${familiarReference(to)}: ${counter.text()}`);
  context.print(copied.digest);
}

/** Reads --platform, which may be repeated or hold several. */
export function platformsOf(context: CommandContext, value: unknown): ReturnType<typeof parsePlatform>[] {
  const given = Array.isArray(value) ? value.map(String) : [];
  const names = given.flatMap((text) => text.split(",")).filter((text) => text !== "");
  return names.map((text) => parsePlatform(text, context.environment.platform));
}
