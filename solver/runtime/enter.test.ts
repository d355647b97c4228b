import { EACCES, withBlocked } from "../../test/support/blocked-calls.ts";
import { execFile, execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { cannotRun, RUNTIME_PATH } from "./testing.ts";

const NOBODY = 65534;
const reason = cannotRun() ?? whyNoUserNamespace();
if (reason !== undefined) console.warn(`skipping the tests of entering a user namespace: ${reason}`);

/** The checkout may not be readable for others, so a plain user gets a copy of the program. */
function withCopy<T>(work: (program: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "kiln-enter-"));
  execFileSync("chmod", ["755", directory]);
  const program = join(directory, "kiln-runtime");
  copyFileSync(RUNTIME_PATH, program);
  const clean = (): void => rmSync(directory, { recursive: true });
  const result = work(program);
  if (result instanceof Promise) void result.then(clean, clean);
  else clean();
  return result;
}

function whyNoUserNamespace(): string | undefined {
  try {
    withCopy((program) => execFileSync(program, ["enter", "true"], { uid: NOBODY, gid: NOBODY, stdio: "ignore" }));
    return undefined;
  } catch {
    return "a plain user cannot make a user namespace here";
  }
}

describe.skipIf(reason !== undefined)("kiln-runtime enter", () => {
  test("a plain user becomes root of a namespace in which at least one id exists", async () => {
    const { stdout } = await withCopy((program) =>
      promisify(execFile)(program, ["enter", "sh", "-c", "id -u; id -g; head -1 /proc/self/uid_map"], {
        uid: NOBODY,
        gid: NOBODY,
      }),
    );
    expect(stdout.split(/\s+/).filter(Boolean)).toEqual(["0", "0", "0", `${NOBODY}`, "1"]);
  });

  test("root stays where it is, and arguments and status pass through", async () => {
    const running = promisify(execFile)(RUNTIME_PATH, [
      "enter",
      "sh",
      "-c",
      'readlink /proc/self/ns/user; exit "$1"',
      "x",
      "9",
    ]);
    await expect(running).rejects.toMatchObject({
      code: 9,
      stdout: execFileSync("readlink", ["/proc/self/ns/user"], { encoding: "utf8" }),
    });
  });

  test("where a namespace can be made and nothing mounted in it, the program runs outside, with its signals and its status", async () => {
    const blocked = withBlocked({ mount: EACCES });
    const argv = [...blocked, "setpriv", "--bounding-set=-sys_admin", RUNTIME_PATH, "enter"];
    const running = promisify(execFile)("env", [...argv, "sh", "-c", "readlink /proc/self/ns/user; exit 9"]);
    await expect(running).rejects.toMatchObject({
      code: 9,
      stdout: execFileSync("readlink", ["/proc/self/ns/user"], { encoding: "utf8" }),
    });
    const waiting = spawn("env", [...argv, "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
    waiting.stdout.once("data", () => waiting.kill("SIGTERM"));
    const code = await new Promise((resolve) => waiting.once("close", resolve));
    expect(code).toBe(7);
  });

  test("a program that is not there is an error of ours", async () => {
    const running = promisify(execFile)(RUNTIME_PATH, ["enter", "/no/such/program"]);
    await expect(running).rejects.toMatchObject({
      code: 125,
      stderr: "kiln: cannot run /no/such/program: No such file or directory\n",
    });
  });
});
