import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT, busyboxRoot, kiln, missing, mustKiln, type Outcome } from "./harness.ts";
import { cannotBePlain, kilnAsPlainUser } from "./plain-user.ts";

/** A user with certain privileges. The same builds are tried as each of them. */
export interface Row {
  readonly name: string;
  /** The isolation that `kiln doctor --json` reports. */
  readonly isolation: string;
  /** Reason why it cannot be tried here, or `undefined`. */
  readonly why: string | undefined;
  /** Runs kiln with a store of the row's own below `folder`, which the row can read. */
  kiln(folder: string, args: readonly string[]): Outcome;
}

export const ROWS: readonly Row[] = [
  {
    name: "root",
    isolation: "root",
    why: missing("busybox"),
    kiln: (folder, args) => kiln(join(folder, "store"), args),
  },
  {
    name: "a plain user with subordinate ids",
    isolation: "subordinate-ids",
    why: missing("busybox") ?? cannotBePlain("subordinate"),
    kiln: (folder, args) => kilnAsPlainUser(folder, "subordinate", args),
  },
  {
    name: "a plain user with a single id",
    isolation: "single-id",
    why: missing("busybox") ?? cannotBePlain("single"),
    kiln: (folder, args) => kilnAsPlainUser(folder, "single", args),
  },
  {
    name: "root of a container with the engines' default profile",
    isolation: "chroot",
    why: missing("busybox"),
    kiln: kilnInContainer,
  },
];

/** Directories of the machine that Node needs, shown to the container read-only. */
const LIBRARIES = ["/usr", "/lib", "/lib64"].filter((path) => existsSync(path));

/**
 * Runs kiln inside a step of another kiln, which equals an engine's container: the engines' capabilities and system
 * call filter, no right to a namespace or a mount. No engine is needed.
 */
function kilnInContainer(folder: string, args: readonly string[]): Outcome {
  const outer = join(folder, "outer");
  if (!existsSync(outer)) {
    mkdirSync(outer);
    mustKiln(outer, ["import", busyboxRoot(mkdtempSync(join(folder, "container-"))), "container"]);
  }
  const volumes = [...LIBRARIES.map((path) => `${path}:${path}:ro`), `${PROJECT}:${PROJECT}:ro`, `${folder}:${folder}`];
  const home = ["--env", `KILN_ROOT=${join(folder, "store")}`, "--env", "PATH=/usr/bin:/bin"];
  const command = [join(PROJECT, "bin/kiln"), ...args];
  return kiln(outer, ["run", ...volumes.flatMap((volume) => ["--volume", volume]), ...home, "container", ...command]);
}

/** Writes a context that the row may read. */
export function contextFor(folder: string, files: Readonly<Record<string, string>>, from?: string): string {
  const directory = mkdtempSync(join(folder, "context-"));
  if (from !== undefined) cpSync(from, directory, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  spawnSync("chmod", ["-R", "a+rX", directory]);
  return directory;
}

/** Lists members of a tar as `mode owner path`, devices with their numbers; without sizes and times. */
export function headersOf(tar: string): readonly string[] {
  const listing = spawnSync("tar", ["--numeric-owner", "-tvf", tar], { encoding: "utf8", maxBuffer: 1 << 28 });
  if (listing.status !== 0) throw new Error(`tar: ${listing.stderr}`);
  return listing.stdout
    .trim()
    .split("\n")
    .map((line) => {
      const [mode = "", owner, size, , , ...name] = line.split(/\s+/);
      return [mode, owner, /^[bc]/.test(mode) ? size : "", name.join(" ")].join(" ");
    })
    .toSorted();
}
