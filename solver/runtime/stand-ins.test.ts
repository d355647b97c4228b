import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { kernelStamp, stampAfter } from "../../lib/tree/kernel-clock.ts";
import { STAND_INS, StandIns } from "./stand-ins.ts";

const native = locateNative();
let home: string;
let root: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "kiln-stand-ins-"));
  root = join(home, "root");
  mkdirSync(root);
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Runs a shell script as a step would, with the stand-ins in place. */
async function step(script: string): Promise<readonly bigint[]> {
  const standIns = new StandIns(native, home);
  const parent = native.openPath(root, O_PATH | O_DIRECTORY);
  const places = STAND_INS.map((standIn) => ({ standIn, place: { parent, name: standIn.target.slice(1) } }));
  for (const { standIn, place } of places) standIns.putIn(place, standIn);
  const settledNs = await stampAfter(home, kernelStamp(home));
  const inodes = places.map(({ place }) => native.statat(parent, place.name).ino);
  expect(existsSync(join(root, "dev/null"))).toBe(true);
  expect(existsSync(join(root, "proc/self/fd/63"))).toBe(true);
  execFileSync("sh", ["-ec", script], { cwd: root });
  for (const { standIn, place } of places.toReversed()) standIns.takeOut(place, standIn, settledNs);
  for (const { place } of places) expect(native.tryStatat(parent, place.name)).toBeUndefined();
  native.close(parent);
  return inodes;
}

test("the next step has the same ones", async () => {
  const first = await step("true");
  expect(await step("ls -lR . > ls.txt")).toEqual(first);
});

test.each([
  { does: "echo x > dev/shm/left", gone: "dev/shm/left" },
  { does: "echo x > dev/made", gone: "dev/made" },
  { does: "rm dev/null" },
  { does: "rm -r dev/pts && mkdir dev/pts" },
  { does: "chmod 700 dev" },
  { does: "chmod 600 dev/zero" },
  { does: "mv dev/null dev/zero" },
  { does: "ln dev/full linked && rm linked" },
  { does: "rm -r dev && echo file > dev" },
  { does: "rm -r dev && ln -s proc dev" },
  { does: "rm -r dev" },
  { does: "rm -r dev && mkdir dev" },
  { does: "touch -d @1 dev/null" },
  { does: "echo x > dev/x && rm dev/x && touch -r proc dev" },
])("what a step changed is made again: $does", async ({ does, gone }) => {
  const absent = gone === undefined ? "" : ` && test ! -e ${gone}`;
  const whole = `test -e dev/null && test -e dev/pts/ptmx && test -d dev/shm && test ! -L dev${absent}`;
  const modes = `test "$(stat -c %a dev dev/zero dev/null | tr '\\n' ' ')" = "755 666 666 "`;
  await step(does);
  await expect(step(`${whole} && ${modes}`)).resolves.toHaveLength(STAND_INS.length);
});

test("what was never ready for a command is not kept", () => {
  const standIns = new StandIns(native, home);
  const parent = native.openPath(root, O_PATH | O_DIRECTORY);
  for (const standIn of STAND_INS) {
    const place = { parent, name: standIn.target.slice(1) };
    standIns.putIn(place, standIn);
    standIns.takeOut(place, standIn, 0n);
    expect(existsSync(join(home, "stand-ins", place.name))).toBe(false);
  }
  native.close(parent);
});
