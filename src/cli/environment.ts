import { join, resolve } from "node:path";
import type { BuildEnvironment } from "../engine/environment.ts";
import { platformOfNode } from "../../lib/core/platform.ts";
import { memorySize } from "./flags/values.ts";
import type { Host } from "./host.ts";

/** Makes the environment that the command line passes to the rest of the program. `root` is the value of --root. */
export function environmentOf(host: Host, root: string | undefined): BuildEnvironment {
  const parts = (name: string): string => join(host.partsDirectory, name);
  return {
    root: resolve(host.workingDirectory, root ?? (host.env["KILN_ROOT"] || defaultRoot(host))),
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
    uid: host.uid,
    gid: host.gid,
    pid: host.pid,
    bootId: () => host.bootId(),
    nowMs: () => host.nowMs(),
    stdin: () => host.stdin,
    stdout: () => host.stdout,
  };
}

/** Parses `20g`, or `off` for a store that only `kiln prune` shrinks. */
function keepStorage(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  return text === "off" ? Number.POSITIVE_INFINITY : memorySize(text, "KILN_KEEP_STORAGE");
}

function defaultRoot(host: Host): string {
  // The launcher puts plain users into a user namespace, where they are root but own no more than before.
  if (host.uid === 0 && host.env["KILN_ROOTLESS"] === undefined) return "/var/lib/kiln";
  const data = host.env["XDG_DATA_HOME"];
  return join(data === undefined || data === "" ? join(host.homeDirectory, ".local", "share") : data, "kiln");
}
