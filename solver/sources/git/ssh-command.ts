import { existsSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";

/** Options of ssh: ask nothing on a terminal, and notice a dead server. */
const OPTIONS = [...["BatchMode=yes", "ConnectTimeout=30", "ServerAliveInterval=30", "ServerAliveCountMax=4"]].flatMap(
  (option) => ["-o", option],
);
const KEYS = ["id_ed25519", "id_ecdsa", "id_rsa"];

/**
 * Makes ssh's command line, for git's shell. ssh finds its files in the home of the account with its uid. In the user
 * namespace of a plain user that is root's, so the user's own files are named.
 */
export function sshCommand(home: string | undefined, account = accountHome()): string {
  const folder = home === undefined || home === account ? undefined : join(home, ".ssh");
  const isOwn = folder !== undefined && statSync(folder, { throwIfNoEntry: false })?.uid === process.getuid?.();
  return ["ssh", ...OPTIONS, ...(folder !== undefined && isOwn ? filesIn(folder) : [])].map(quoted).join(" ");
}

function filesIn(folder: string): string[] {
  const config = join(folder, "config");
  const known = [join(folder, "known_hosts"), join(folder, "known_hosts2")];
  const keys = KEYS.map((name) => join(folder, name)).filter((path) => existsSync(path));
  return [
    ...(existsSync(config) ? ["-F", config] : []),
    ...["-o", `UserKnownHostsFile=${known.map((path) => `"${path}"`).join(" ")}`],
    ...keys.flatMap((path) => ["-o", `IdentityFile="${path}"`]),
  ];
}

function accountHome(): string | undefined {
  try {
    return userInfo().homedir;
  } catch {
    // A uid without an account.
    return undefined;
  }
}

/** Quotes a word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w./=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
