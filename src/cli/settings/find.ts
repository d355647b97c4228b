import { lstatSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { BuildError } from "../../../lib/core/errors.ts";
import type { Host } from "../host.ts";

/** A kiln.toml that is there. */
export interface SettingsFile {
  readonly path: string;
  readonly scope: "project" | "user" | "system";
}

type Place = Pick<Host, "env" | "workingDirectory" | "homeDirectory">;

/** The folder of the system's settings; tests have another. */
const SYSTEM_DIRECTORY = "/etc/kiln";

/**
 * Finds the files of settings, the strongest first. Every start comes by here: three calls of `stat`, and nothing else.
 * @throws {BuildError} `cli/settings` where KILN_CONFIG names a file that is not there
 */
export function findSettings(host: Place, systemDirectory = SYSTEM_DIRECTORY): readonly SettingsFile[] {
  const named = host.env["KILN_CONFIG"] ?? "";
  if (named === "off") return [];
  const directory = host.env["XDG_CONFIG_HOME"] || join(host.homeDirectory, ".config");
  const user = named === "" ? join(directory, "kiln", "kiln.toml") : resolve(host.workingDirectory, named);
  const system = join(systemDirectory, "kiln.toml");
  const project = join(host.workingDirectory, "kiln.toml");
  const found: SettingsFile[] = [];
  // A link in a repository could lead to any file, whose lines an error would show.
  if (project !== user && project !== system && isThere(lstatSync, project))
    found.push({ path: project, scope: "project" });
  if (isThere(statSync, user)) found.push({ path: user, scope: "user" });
  else if (named !== "") {
    throw new BuildError("cli/settings", `Cannot read the settings ${JSON.stringify(user)}: there is no such file`, {
      hint: "KILN_CONFIG names it; KILN_CONFIG=off reads no settings",
    });
  }
  if (isThere(statSync, system)) found.push({ path: system, scope: "system" });
  return found;
}

/**
 * False as well for a path that leads nowhere: HOME may be a file, a loop of links or a folder of another user's, as
 * under sudo and in containers that run as any uid.
 */
function isThere(stat: typeof statSync, path: string): boolean {
  try {
    return stat(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
