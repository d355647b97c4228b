import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BuildError, messageOf } from "../../lib/core/errors.ts";
import { makeDirectory } from "../../lib/core/make-directory.ts";
import { loadNative } from "../../lib/native/load.ts";
import { requireOwnStore } from "../../lib/store/ownership.ts";
import type { MachineReport } from "../../solver/remote/examination.ts";
import { canGiveFiles, lastIds, overlayMarksFor, readRights, type Rights } from "../../solver/runtime/host.ts";
import { probeAll } from "../../solver/runtime/probe.ts";
import type { Rung } from "../../solver/runtime/rung.ts";
import type { BuildEnvironment } from "./environment.ts";

/**
 * Tries on this machine what builds need, in the store's directory.
 * @throws {BuildError} `store/unusable` where nothing can be written there
 */
export async function machineReport(environment: BuildEnvironment, signal: AbortSignal): Promise<MachineReport> {
  const { root, runtimePath, addonPath, uid, gid, pid, arch, env } = environment;
  tryToWrite(root);
  const rights = readRights(uid);
  const native = loadNative(addonPath);
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
    signal,
  );
  return {
    isUsable: rung.kind !== "none" && checks.some(({ name, ok }) => ok && name === "RUN"),
    isolation: isolationName(rung, owners, rights),
    without: rung.kind === "namespaces" ? rung.without : [],
    root,
    checks,
    causes,
  };
}

/** A directory for records of the probe's files, which no store is to know. */
function temporaryRecords(root: string): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(root, "records-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Returns the name of the row in docs/rootless.md. */
function isolationName(rung: Rung, owners: "given" | "written down", rights: Rights): MachineReport["isolation"] {
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
