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
  if (project !== user && project !== system && lstatSync(project, QUIET) !== undefined)
    found.push({ path: project, scope: "project" });
  if (statSync(user, QUIET) !== undefined) found.push({ path: user, scope: "user" });
  else if (named !== "") {
    throw new BuildError("cli/settings", `Cannot read the settings ${JSON.stringify(user)}: there is no such file`, {
      hint: "KILN_CONFIG names it; KILN_CONFIG=off reads no settings",
    });
  }
  if (statSync(system, QUIET) !== undefined) found.push({ path: system, scope: "system" });
  return found;
}

const QUIET = { throwIfNoEntry: false } as const;
