import { mkdirSync } from "node:fs";
import type { Command } from "commander";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";

/** `kiln doctor`: what this machine can do for builds, and how to make it do what it cannot. */
export function doctorCommand(program: Command, cli: Cli): void {
  command(program, cli, "doctor", run)
    .description("check what this machine can do for builds")
    .option("--format <format>", "json: one object");
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { probeAll } = await import("../../../solver/runtime/probe.ts");
  const { root, runtimePath, uid, gid, pid, arch, env } = context.environment;
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const results = await probeAll(
    {
      runtimePath,
      directory: root,
      overlayMarks: uid === 0 ? "trusted" : "user",
      arch,
      uid,
      gid,
      instance: `${pid}-doctor`,
      searchPath: (env["PATH"] ?? "").split(":").filter((directory) => directory !== ""),
    },
    context.signal,
  );
  if (options["format"] === "json") context.print(JSON.stringify(results, undefined, 2));
  else {
    for (const { name, ok, detail, fix } of results) {
      context.print(`${ok ? "ok  " : "FAIL"}  ${name}: ${detail}`);
      if (!ok && fix !== undefined) context.print(`      ${fix}`);
    }
  }
  // The others are conveniences; without a sandbox and a file system there is no RUN.
  const isBroken = results.some(({ name, ok }) => !ok && (name === "sandbox" || name === "overlay"));
  return isBroken ? 1 : 0;
}
