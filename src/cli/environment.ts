import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { BuildEnvironment } from "../engine/environment.ts";
import { platformOfNode } from "../../lib/core/platform.ts";
import { memorySize } from "./flags/values.ts";
import { isOn } from "./settings/defaults.ts";
import { userStore } from "./home.ts";
import type { Host } from "./host.ts";

/**
 * Returns what the command line gives the rest of the program. `root` is the value of --root.
 *
 * @param tell is told where the store is, if that is not where users expect it.
 */
export function environmentOf(host: Host, root: string | undefined, tell: (line: string) => void): BuildEnvironment {
  const directory = machineParts(host);
  const parts = (name: string): string => join(directory, name);
  return {
    root: resolve(host.workingDirectory, root ?? (host.env["KILN_ROOT"] || defaultRoot(host, tell))),
    addonPath: parts("kiln.node"),
    runtimePath: parts("kiln-runtime"),
    env: host.env,
    workingDirectory: host.workingDirectory,
    homeDirectory: host.homeDirectory,
    temporaryDirectory: host.temporaryDirectory,
    platform: platformOfNode(host.platform, host.arch),
    arch: host.arch,
    processors: host.processors,
    keepStorageBytes: keepStorage(host.env["KILN_KEEP_STORAGE"]),
    keepsBlobs: isOn(host.env["KILN_KEEP_BLOBS"] || "true", "KILN_KEEP_BLOBS"),
    uid: host.uid,
    gid: host.gid,
    pid: host.pid,
    bootId: () => host.bootId(),
    nowMs: () => host.nowMs(),
    stdin: () => host.stdin,
    stdout: () => host.stdout,
  };
}

/** Finds the compiled parts: a package for several kinds of machine has a folder for each. */
function machineParts({ partsDirectory, arch }: Host): string {
  const own = join(partsDirectory, arch);
  return existsSync(own) ? own : partsDirectory;
}

/** Parses `20g`, or `off` for a store that only `kiln prune` shrinks. */
function keepStorage(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  return text === "off" ? Number.POSITIVE_INFINITY : memorySize(text, "KILN_KEEP_STORAGE");
}

function defaultRoot(host: Host, tell: (line: string) => void): string {
  // The launcher puts plain users into a user namespace, where they are root but own no more than before.
  if (host.uid === 0 && host.env["KILN_ROOTLESS"] === undefined) return "/var/lib/kiln";
  const { root, notice } = userStore(host);
  if (notice !== undefined) tell(notice);
  return root;
}
