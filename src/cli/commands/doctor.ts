import { printableJson } from "../../../lib/core/printable.ts";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { ProbeResult } from "../../../solver/runtime/probe.ts";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { makeDirectory } from "../../../lib/core/make-directory.ts";
import { requireOwnStore } from "../../../lib/store/ownership.ts";
import { type Cli, command } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { table } from "../table.ts";

/** `kiln doctor`: what this machine can do for builds, and how to make it do what it cannot. */
export function doctorCommand(program: Command, cli: Cli): void {
  command(program, cli, "doctor", run)
    .description("try everything that builds need of this machine")
    .option("--json", "one object: how steps are isolated, and every check");
}

/** Without one of these there is no RUN; the others are missed only by steps that ask for them. */
const ESSENTIAL = ["sandbox", "chroot"];

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { probeAll } = await import("../../../solver/runtime/probe.ts");
  const { loadNative } = await import("../../../lib/native/load.ts");
  const { isolationOf, overlayMarksFor, readUserNamespace } = await import("../../../solver/runtime/host.ts");
  const { root, runtimePath, uid, gid, pid, arch, env } = context.environment;
  tryToWrite(root);
  const namespace = readUserNamespace();
  const checks = await probeAll(
    {
      runtimePath,
      directory: root,
      overlayMarks: overlayMarksFor(uid, root),
      arch,
      uid,
      gid,
      user: env["USER"] ?? env["KILN_ROOTLESS"] ?? `${uid}`,
      instance: `${pid}-doctor`,
      native: loadNative(context.environment.addonPath),
      searchPath: (env["PATH"] ?? "").split(":").filter((directory) => directory !== ""),
    },
    context.signal,
  );
  const isolation = isolationOf(uid, namespace);
  const isUsable = checks.some(({ name, ok }) => ok && ESSENTIAL.includes(name));
  if (options["json"] === true) context.print(printableJson({ isUsable, isolation, root, checks }, 2));
  else
    printReport(context, checks, `${isUsable ? ISOLATION[isolation] : "RUN does not work here"}; the store is ${root}`);
  return isUsable ? 0 : 1;
}

/** Every check makes files there. @throws {BuildError} `store/unusable` */
function tryToWrite(root: string): void {
  try {
    makeDirectory(root, 0o700);
    requireOwnStore(root);
    rmSync(mkdtempSync(join(root, "probe-")), { recursive: true });
  } catch (error) {
    if (error instanceof BuildError) throw error;
    throw new BuildError("store/unusable", `Cannot write to the store "${root}": ${messageOf(error)}`, {
      hint: "choose a directory of yours with --root or KILN_ROOT",
      cause: error,
    });
  }
}

const ISOLATION = {
  root: "RUN works: namespaces made by root",
  "subordinate-ids": "RUN works: a user namespace in which all users of an image exist",
  "single-id": "RUN works: a user namespace with a single id, in which kiln pretends all others",
  chroot: "RUN works with chroot alone: nothing can be mounted, and every RUN copies its tree",
  none: "kiln is not root and in no user namespace",
} as const;

function printReport(context: CommandContext, checks: readonly ProbeResult[], verdict: string): void {
  const rows = checks.map(({ name, ok, detail }) => [name, ok ? "ok" : "missing", detail]);
  for (const line of table(["CHECK", "RESULT", "SEEN"], rows)) context.print(line);
  for (const { name, fix } of checks) {
    if (fix !== undefined) context.print(`\n${name}: ${fix}`);
  }
  context.print(`\n${verdict}`);
}
