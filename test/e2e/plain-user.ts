import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Outcome, PROJECT, has } from "./harness.ts";

/** The user's ids: subordinate ones from /etc/subuid, or only his own. */
export type Ids = "subordinate" | "single";

const UID = 12_345;

/** Returns the reason why no plain user can be made here, or `undefined`. Printed with the skip. */
export function cannotBePlain(ids: Ids): string | undefined {
  if (process.getuid?.() !== 0) return "needs root, to become another user";
  const wanted = ["unshare", "setpriv", "sed", ...(ids === "subordinate" ? ["newuidmap", "newgidmap"] : [])];
  const absent = wanted.filter((program) => !has(program));
  if (absent.length > 0) return `needs ${absent.join(", ")}`;
  return undefined;
}

/** Runs `bin/kiln` as a user without privileges. */
export function kilnAsPlainUser(folder: string, ids: Ids, args: readonly string[]): Outcome {
  return asPlainUser(folder, ids, [join(PROJECT, "bin/kiln"), ...args]);
}

/**
 * Runs a command as a user without privileges, whose home is in `folder`. The user exists only for that one command: /etc/passwd,
 * /etc/subuid and /etc/subgid are covered in a mount namespace of its own, so that the machine stays as it is.
 *
 * @param prepare a shell command that root runs before, in that namespace.
 * @param flags of unshare, for more namespaces of the command's own.
 */
export function asPlainUser(
  folder: string,
  ids: Ids,
  argv: readonly string[],
  prepare = "true",
  flags: readonly string[] = [],
): Outcome {
  const home = join(folder, "home");
  const cover = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  mkdirSync(home, { recursive: true });
  spawnSync("chmod", ["a+rx", folder]);
  spawnSync("chown", [`${UID}:${UID}`, home]);
  const passwd = cover("passwd", `${readFileSync("/etc/passwd", "utf8")}plain:x:${UID}:${UID}::${home}:/bin/sh\n`);
  const granted = cover("subids", ids === "subordinate" ? "plain:200000:65536\n" : "");
  const script =
    `{ ${prepare}; } || exit 99\n` +
    'for pair in "$1 passwd" "$2 subuid" "$2 subgid"; do mount --bind "${pair% *}" "/etc/${pair#* }" || exit 99; done\n' +
    `shift 2; exec setpriv --reuid ${UID} --regid ${UID} --clear-groups env -i "HOME=$HOME" USER=plain "PATH=$PATH" "$@"`;
  const run = spawnSync("unshare", ["--mount", ...flags, "sh", "-c", script, "sh", passwd, granted, ...argv], {
    cwd: "/",
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { PATH: process.env["PATH"], HOME: home },
  });
  return { status: run.status ?? 255, stdout: run.stdout, stderr: run.stderr };
}
