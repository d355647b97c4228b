import { lstatSync, readdirSync, statSync } from "node:fs";
import { errnoOf } from "../../lib/core/errors.ts";
import type { RunRequest } from "../ports.ts";
import type { HostFacts } from "./host.ts";
import { findNetworkHelper } from "./network-helper.ts";
import type { PlanFacts } from "./plan.ts";
import type { DeviceNode } from "./policy/mounts.ts";
import { DEVICES } from "./policy/paths.ts";

/**
 * Reads what the plan of this one step depends on, and no more: a step that wants nothing special costs a `stat` per bind
 * mount.
 * @throws {BuildError} `runtime/failed` when the step wants a network of its own and no program for it is installed.
 */
export function readStepFacts(
  request: RunRequest,
  machine: { readonly host: HostFacts; readonly searchPath: readonly string[] },
): Pick<PlanFacts, "networkHelper" | "hostDevices" | "boundFiles"> {
  const { searchPath, host } = machine;
  const isHostRoot = host.userNamespace === undefined;
  return {
    networkHelper:
      request.network === "sandbox" ? findNetworkHelper({ searchPath, isHostRoot, ports: request.ports }).argv : [],
    hostDevices: request.security === "insecure" ? hostDevices() : [],
    boundFiles: new Set(request.mounts.flatMap((mount) => (mount.kind === "bind" ? boundFile(mount.hostPath) : []))),
  };
}

function boundFile(path: string): string[] {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false ? [path] : [];
}

/** Character and block devices directly in /dev and in the two folders that hold nodes programs ask for. */
function hostDevices(): DeviceNode[] {
  const standard = new Set([...Object.keys(DEVICES), "ptmx", "console"]);
  return ["", "net/", "mapper/"].flatMap((prefix) =>
    namesIn(`/dev/${prefix}`).flatMap((entry) => {
      const name = `${prefix}${entry}`;
      const status = lstatSync(`/dev/${name}`, { throwIfNoEntry: false });
      const isDevice = status?.isCharacterDevice() === true || status?.isBlockDevice() === true;
      if (status === undefined || !isDevice || standard.has(name)) return [];
      return [{ name, mode: status.mode, device: status.rdev, uid: status.uid, gid: status.gid }];
    }),
  );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
