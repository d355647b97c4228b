import type { Command } from "commander";
import { coverPasswords } from "../../../lib/core/credentials.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { didYouMean } from "../../../lib/core/suggest.ts";
import { printableJson } from "../../../lib/core/printable.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { withoutSecrets } from "../flags/csv.ts";
import { valuesOf } from "../settings/effective.ts";
import { findSettings } from "../settings/find.ts";
import type { FileValue } from "../settings/read.ts";
import { type Setting, SETTINGS } from "../settings/table.ts";
import { table } from "../table.ts";

/** A setting's value, and where it comes from. */
interface Effective {
  readonly key: string;
  readonly value: string;
  /** `default`, `KILN_JOBS`, or a file's path and line. */
  readonly origin: string;
  readonly scope: "default" | "environment" | "project" | "user" | "system";
}

/** Declares `kiln config`: shows which settings count, and where each comes from. */
export function configCommand(program: Command, cli: Cli): void {
  command(program, cli, "config [key]", run)
    .description("show the settings that count, and where each comes from")
    .option("--json", "a list of objects: key, value, origin, scope")
    .option("--set", "only those that are set somewhere")
    .addHelpText(
      "after",
      examples([
        ["kiln config", "flags come before the environment, and that before kiln.toml"],
        ["kiln config jobs", "one setting's value alone"],
        ["kiln config --json --set", "for a program"],
      ]),
    );
}

async function run(
  context: CommandContext,
  [key]: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { host } = context;
  const keys = SETTINGS.map((setting) => setting.key);
  if (key !== undefined && !keys.includes(key)) {
    throw new BuildError("cli/usage", `There is no setting ${JSON.stringify(key)}${didYouMean(key, keys)}`, {
      hint: `there are ${keys.join(", ")}`,
    });
  }
  const values = await valuesOf(findSettings(host), host.homeDirectory);
  const all = SETTINGS.map((setting) => effective(setting, host.env, values.get(setting.variable)));
  const shown = all.filter(
    (one) => (key === undefined || one.key === key) && (options["set"] !== true || one.scope !== "default"),
  );
  if (options["json"] === true) context.print(printableJson(shown, 2));
  else if (key !== undefined) for (const { value } of shown) context.print(value);
  else {
    const rows = shown.map(({ key: name, value, origin }) => [name, value, origin]);
    for (const line of table(["SETTING", "VALUE", "FROM"], rows)) context.print(line);
  }
}

function effective(
  { key, variable, byDefault }: Setting,
  env: Readonly<Record<string, string | undefined>>,
  found: FileValue | undefined,
): Effective {
  const text = env[variable] ?? "";
  if (text !== "") return { key, value: hidden(text), origin: variable, scope: "environment" };
  if (found !== undefined) {
    const { file, line } = found;
    return { key, value: hidden(found.text), origin: `${file.path}:${line}`, scope: file.scope };
  }
  return { key, value: byDefault, origin: "default", scope: "default" };
}

/** Passwords in URLs and attributes that are named for secrets are not shown. */
function hidden(text: string): string {
  return withoutSecrets(coverPasswords(text)).replaceAll("\n", " ");
}
