import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, Sandbox } from "./testing.ts";

const reason = cannotRun() ?? (process.arch === "x64" ? undefined : "has programs of other machines than x64 only");
if (reason !== undefined) console.warn(`skipping the reasons why programs do not start: ${reason}`);

/** `e_machine` of an ELF header, by the name that --platform has. */
const MACHINES = { arm64: 183, arm: 40, s390x: 22, riscv64: 243 } as const;

describe.skipIf(reason !== undefined)("a program that cannot be started", () => {
  let box: Sandbox;
  let lowers: readonly string[];
  const busybox = (): Buffer => readFileSync("/bin/busybox");
  /** The first pages of a real program, said to be for another machine. */
  const foreign = (machine: number): Buffer => {
    const bytes = busybox().subarray(0, 8192);
    bytes.writeUInt16LE(machine, 18);
    return bytes;
  };
  /** Makes a program with a missing loader, at a path of the same length. */
  const otherLoader = (): Buffer | undefined => {
    const bytes = readFileSync("/bin/true");
    const at = bytes.indexOf("/lib64/ld-linux-x86-64.so.2");
    if (at === -1) return undefined;
    bytes.write("/lib/ld-musl-x86_64.so.1\0\0\0", at);
    return bytes;
  };

  beforeAll(() => {
    box = new Sandbox();
    const layer = join(box.directory, "programs");
    mkdirSync(join(layer, "opt"), { recursive: true });
    const put = (name: string, content: string | Buffer): void =>
      writeFileSync(join(layer, "opt", name), content, { mode: 0o755 });
    for (const [name, machine] of Object.entries(MACHINES)) put(name, foreign(machine));
    const bigEndian = foreign(0);
    bigEndian[5] = 2;
    bigEndian.writeUInt16BE(MACHINES.s390x, 18);
    put("s390x", bigEndian);
    put("by-foreign", "#!/opt/arm64\necho\n");
    put("text", "echo hello\n");
    put("empty", "");
    put("noise", Buffer.from([1, 0, 2, 3]));
    put("absent", "#! /opt/nothing -x\necho\n");
    put("windows", "#!/bin/sh\r\necho hello\r\n");
    put("unknown", foreign(4711));
    put("musl", otherLoader() ?? "");
    copyFileSync("/bin/busybox", join(layer, "opt/good"));
    symlinkSync("gone", join(layer, "opt/dangling"));
    lowers = [layer, box.base];
  });
  afterAll(() => {
    box[Symbol.dispose]();
  });

  test.each([
    ...Object.keys(MACHINES).map((name) => ({
      program: name,
      exitCode: 126,
      says: new RegExp(
        `^Exec format error: it is a program for linux/${name}, and this machine is linux/amd64\\. .*qemu-user-static`,
      ),
    })),
    { program: "unknown", exitCode: 126, says: /it is a program for linux\/another machine/ },
    { program: "by-foreign", exitCode: 126, says: /^Exec format error: its interpreter is a program for linux\/arm64/ },
    {
      program: "text",
      exitCode: 126,
      says: /^Exec format error: it is a text without a first line such as "#!\/bin\/sh"/,
    },
    { program: "empty", exitCode: 126, says: /^Exec format error: the file is empty$/ },
    { program: "noise", exitCode: 126, says: /^Exec format error: it is no program for linux\/amd64$/ },
    {
      program: "absent",
      exitCode: 127,
      says: /^No such file or directory: its interpreter "\/opt\/nothing" is not there$/,
    },
    {
      program: "windows",
      exitCode: 127,
      says: /^No such file or directory: its lines end as on Windows, so "\/bin\/sh"/,
    },
    { program: "dangling", exitCode: 127, says: /^No such file or directory$/ },
  ])("says why: $program", async ({ program, exitCode, says }) => {
    const root = box.overlay(lowers).mount;
    const result = await box.run({ root, argv: [`/opt/${program}`, "x"] });
    expect(result).toMatchObject({ exitCode, stdout: "" });
    const [, text] = /^exec: "([^\n]*)\n$/.exec(result.stderr) ?? [];
    expect(text?.replace(`/opt/${program}": `, "")).toMatch(says);
    if (program === "dangling") return;
    const searched = await box.run({
      root: box.overlay(lowers).mount,
      argv: [program],
      env: ["PATH=/nowhere:/opt:/bin"],
    });
    expect(searched).toMatchObject({ exitCode, stderr: result.stderr.replace("/opt/", "") });
  });

  test("says which loader it lacks", async () => {
    if (otherLoader() === undefined) return;
    const result = await box.run({ root: box.overlay(lowers).mount, argv: ["/opt/musl"] });
    expect(result).toMatchObject({
      exitCode: 127,
      stderr: expect.stringMatching(
        /its loader "\/lib\/ld-musl-x86_64\.so\.1" is not there; it was made for another C library/,
      ),
    });
  });

  test("of which a later directory of PATH has a good one is passed over", async () => {
    const { upper, mount } = box.overlay(lowers);
    mkdirSync(join(upper, "first"));
    writeFileSync(join(upper, "first/true"), "#!/opt/nothing\n", { mode: 0o755 });
    expect(await box.run({ root: mount, argv: ["true"], env: ["PATH=/first:/bin"] })).toMatchObject({ exitCode: 0 });
  });
});
