import { printableJson } from "../../../lib/core/printable.ts";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import type { Cause } from "../../../solver/runtime/causes.ts";
import type { Rights } from "../../../solver/runtime/host.ts";
import type { ProbeResult } from "../../../solver/runtime/probe-files.ts";
import type { Rung } from "../../../solver/runtime/rung.ts";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { makeDirectory } from "../../../lib/core/make-directory.ts";
import { requireOwnStore } from "../../../lib/store/ownership.ts";
import { type Cli, command, examples } from "../command.ts";
import type { CommandContext } from "../context.ts";
import { table } from "../table.ts";

/** Declares `kiln doctor`: reports what this machine can do for builds, and how to add the rest. */
export function doctorCommand(program: Command, cli: Cli): void {
  command(program, cli, "doctor", run)
    .description("try everything that builds need of this machine")
    .option("--json", "one object: how steps are isolated, and every check")
    .addHelpText("after", examples([["kiln doctor", "with the command that mends what is missing"]]));
}

async function run(
  context: CommandContext,
  _args: readonly string[],
  options: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { probeAll } = await import("../../../solver/runtime/probe.ts");
  const { loadNative } = await import("../../../lib/native/load.ts");
  const { canGiveFiles, lastIds, overlayMarksFor, readRights } = await import("../../../solver/runtime/host.ts");
  const { root, runtimePath, uid, gid, pid, arch, env } = context.environment;
  tryToWrite(root);
  const rights = readRights(uid);
  const native = loadNative(context.environment.addonPath);
  const ownersDirectory = join(root, "owners");
  const owners = canGiveFiles(rights) && !existsSync(ownersDirectory) ? "given" : "written down";
  if (owners === "written down") {
    makeDirectory(ownersDirectory, 0o700);
    native.keepOwners(ownersDirectory);
  }
  const last = owners === "given" ? lastIds(rights) : undefined;
  using records = last === undefined ? undefined : temporaryRecords(root);
  if (last !== undefined && records !== undefined) native.keepOwners(records.path, last);
  const { checks, causes, rung } = await probeAll(
    {
      runtimePath,
      directory: root,
      overlayMarks: overlayMarksFor(rights, root),
      arch,
      uid,
      gid,
      user: env["USER"] ?? env["KILN_ROOTLESS"] ?? `${uid}`,
      instance: `${pid}-doctor`,
      native,
      rights,
      owners,
      searchPath: (env["PATH"] ?? "").split(":").filter((directory) => directory !== ""),
    },
    context.signal,
  );
  const isolation = isolationName(rung, owners, rights);
  const isUsable = rung.kind !== "none" && checks.some(({ name, ok }) => ok && name === "RUN");
  if (options["json"] === true) {
    const without = rung.kind === "namespaces" ? rung.without : [];
    context.print(printableJson({ isUsable, isolation, without, root, checks, causes }, 2));
  } else {
    const verdict = isUsable ? ISOLATION[isolation] : "RUN does not work here; COPY, ADD, pull and push do";
    printReport(context, { checks, causes }, `${verdict}; the store is ${root}`);
  }
  return isUsable ? 0 : 1;
}

/** A directory for records of the probe's files, which no store is to know. */
function temporaryRecords(root: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(root, "records-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

type Isolation = keyof typeof ISOLATION;

/** Returns the name of the row in docs/rootless.md. */
function isolationName(rung: Rung, owners: "given" | "written down", rights: Rights): Isolation {
  if (rung.kind !== "namespaces") return rung.kind;
  if (owners === "written down") return "single-id";
  return rights.userNamespace === undefined ? "root" : "subordinate-ids";
}

/**
 * Checks that the directory is writable, as every check makes files there.
 * @throws {BuildError} `store/unusable`
 */
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
  chroot: "RUN works with chroot alone: nothing can be mounted, and the first RUN on an image copies its tree",
  none: "RUN does not work here",
} as const;

function printReport(
  context: CommandContext,
  { checks, causes }: { readonly checks: readonly ProbeResult[]; readonly causes: readonly Cause[] },
  verdict: string,
): void {
  const rows = checks.map(({ name, ok, detail }) => [name, ok ? "ok" : "missing", detail]);
  for (const line of table(["CHECK", "RESULT", "SEEN"], rows)) context.print(line);
  for (const { cause, fixes } of causes) {
    context.print(`\n${cause}`);
    for (const [place, line] of Object.entries(fixes)) context.print(`  ${`${place}:`.padEnd(12)}${line}`);
  }
  for (const { name, fix } of checks) {
    if (fix !== undefined) context.print(`\n${name}: ${fix}`);
  }
  context.print(`\n${verdict}`);
}
