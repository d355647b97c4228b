import type { Command } from "commander";
import { BuildError } from "../../../lib/core/errors.ts";
import { printableLine } from "../../../lib/core/printable.ts";
import { formatBytes } from "../../progress/step-book.ts";
import type { Victim, VictimKind } from "../../../lib/store/collection-plan.ts";
import { type Cli, command, examples, textsIn } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { durationMs } from "../flags/duration.ts";
import { keyValues } from "../flags/csv.ts";
import { memorySize } from "../flags/values.ts";

const KINDS: readonly VictimKind[] = ["step", "layer", "blob", "image", "cache-mount"];

/** Declares `kiln prune`: frees space, least valuable items first. Safe while builds run. */
export function pruneCommand(program: Command, cli: Cli): void {
  command(program, cli, "prune", run)
    .description("free space in the store, least valuable first")
    .option("-a, --all", "also the cache of images that have a name")
    .option("-f, --force", "accepted for docker's sake: nothing is asked")
    .option("--keep-storage <bytes>", "stop when the store is no larger than this")
    .option(
      "--filter <name=value>",
      "until=24h, unused-for=24h, type=step|layer|blob|image|cache-mount",
      (value: string, before: readonly string[]): readonly string[] => [...before, value],
      [],
    )
    .option("--dry-run", "say what would go")
    .addHelpText(
      "after",
      examples([
        ["kiln prune", "what no image with a name needs"],
        ["kiln prune --keep-storage 20g", "down to this size"],
        ["kiln prune --filter unused-for=168h --dry-run", "what a week's pause would cost"],
      ]),
    );
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { prune } = await import("../../../lib/store/prune.ts");
  await using engine = context.openEngine();
  const { keepStorage } = options;
  const isDryRun = options["dryRun"] === true;
  const result = await prune(
    engine.store,
    {
      keepBytes: typeof keepStorage === "string" ? memorySize(keepStorage, "keep-storage") : 0,
      all: options["all"] === true,
      dryRun: isDryRun,
      ...filters(textsIn(options, "filter"), context.host.nowMs()),
    },
    context.signal,
  );
  for (const victim of result.victims)
    context.print(`${victim.kind}\t${formatBytes(victim.bytes)}\t${printableLine(nameOf(victim))}`);
  if (result.garbageBytes > 0) context.print(`garbage\t${formatBytes(result.garbageBytes)}\tfiles that no row names`);
  context.print(`Total${isDryRun ? " that would be" : ""} reclaimed: ${formatBytes(result.freedBytes)}`);
}

function nameOf(victim: Victim): string {
  switch (victim.kind) {
    case "step":
      return victim.records[0]?.name ?? "";
    case "layer":
      return victim.snapshot;
    case "blob":
    case "image":
      return victim.digest;
    case "cache-mount":
      return victim.name;
    default:
      return victim satisfies never;
  }
}

function filters(
  texts: readonly string[],
  nowMs: number,
): { readonly usedBeforeMs?: number; readonly kinds?: ReadonlySet<VictimKind> } {
  const kinds = new Set<VictimKind>();
  let usedBeforeMs: number | undefined;
  for (const text of texts) {
    for (const [key, value] of keyValues(text, "filter")) {
      if (key === "until" || key === "unused-for") usedBeforeMs = nowMs - durationMs(value, "--filter");
      else if (key === "type") kinds.add(kindOf(value));
      else
        throw new BuildError("cli/usage", `Cannot filter by ${JSON.stringify(key)}`, {
          hint: "use until, unused-for or type",
        });
    }
  }
  return { ...(usedBeforeMs === undefined ? {} : { usedBeforeMs }), ...(kinds.size === 0 ? {} : { kinds }) };
}

function kindOf(text: string): VictimKind {
  const names: Readonly<Record<string, VictimKind>> = { regular: "step", "exec.cachemount": "cache-mount" };
  const kind = (Object.hasOwn(names, text) ? names[text] : undefined) ?? KINDS.find((one) => one === text);
  if (kind !== undefined) return kind;
  throw new BuildError("cli/usage", `Cannot filter by type ${JSON.stringify(text)}`, {
    hint: `types: ${KINDS.join(", ")}`,
  });
}
