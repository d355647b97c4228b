import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { homedir } from "node:os";
import { errnoOf } from "../../lib/core/errors.ts";
import { isExhausted } from "../../lib/core/system-hints.ts";
import type { Host } from "./host.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** The store of a plain user, and one line about it where it is not in their home. */
export interface UserStore {
  readonly root: string;
  readonly notice: string | undefined;
}

/**
 * Finds the home of the user who started kiln. $HOME counts where it is set; else /etc/passwd does, for the user as they were
 * before the launcher made them root of a user namespace. `undefined` where there is none.
 */
export function findHome(env: Variables, uid: number): string | undefined {
  const home = env["HOME"];
  if (home !== undefined && isAbsolute(home)) return home;
  const user = env["KILN_ROOTLESS"] ?? `${uid}`;
  const entry = readPasswd()
    .split("\n")
    .map((line) => line.split(":"))
    .find((fields) => fields[2] === user);
  const found = entry?.[5];
  if (found !== undefined && isAbsolute(found)) return found;
  return env["KILN_ROOTLESS"] === undefined ? homeByName() : undefined;
}

/** Asks the name services too; an id that they do not know is an error to Node. */
function homeByName(): string | undefined {
  try {
    return homedir();
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return undefined;
  }
}

/** Chooses the store of a plain user: below their data directory, or where temporary files are if nothing can be made there. */
export function userStore(
  user: Pick<Host, "env" | "uid" | "homeDirectory" | "temporaryDirectory">,
  canMake: (path: string) => boolean = canBeMade,
): UserStore {
  const { env, uid, homeDirectory, temporaryDirectory } = user;
  const data = env["XDG_DATA_HOME"];
  if (data !== undefined && data !== "") return { root: join(data, "kiln"), notice: undefined };
  const usual = join(homeDirectory, ".local", "share", "kiln");
  if (canMake(usual)) return { root: usual, notice: undefined };
  const name = `kiln-${env["KILN_ROOTLESS"] ?? uid}`;
  const places = [env["XDG_RUNTIME_DIR"] ?? "", temporaryDirectory, "/tmp"].filter((place) => isAbsolute(place));
  const roots = places.map((place) => join(place, name));
  const root = roots.find((path) => canMake(path)) ?? usual;
  const notice = `kiln: nothing can be made in the home directory ${homeDirectory}, so the store is ${root}; --root or KILN_ROOT names another`;
  return { root, notice: root === usual ? undefined : notice };
}

/** Returns true if a directory is there and writable, or could be made by the rights of the nearest directory above it. */
function canBeMade(path: string): boolean {
  let nearest = path;
  while (!existsSync(nearest) && dirname(nearest) !== nearest) nearest = dirname(nearest);
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return false;
  }
}

function readPasswd(): string {
  try {
    return readFileSync("/etc/passwd", "latin1");
  } catch (error) {
    if (errnoOf(error) === undefined || isExhausted(error)) throw error;
    return "";
  }
}
