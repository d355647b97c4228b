import { execFileSync } from "node:child_process";
import { createWriteStream, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BuildError } from "./errors.ts";
import { openGiven, openPipe, readGiven, readSettings, type GivenFile } from "./given-file.ts";

let directory: string;
const never = new AbortController().signal;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "given-"));
  writeFileSync(join(directory, "file"), "some text");
  writeFileSync(join(directory, "large"), Buffer.alloc(3 << 20));
  symlinkSync("/dev/full", join(directory, "link"));
  execFileSync("mkfifo", [join(directory, "silent"), join(directory, "spoken"), join(directory, "read")]);
});

afterAll(() => rmSync(directory, { recursive: true }));

function given(name: string): GivenFile {
  return { path: join(directory, name), refuse };
}

const refuse = (why: string): BuildError => new BuildError("cli/usage", `Cannot read: ${why}`);
const endless = { path: "/dev/zero", refuse };

describe("a small file", () => {
  test.each([
    { name: "a file", file: "file", says: "some text" },
    { name: "a device without an end", file: "link", fails: "Cannot read: it has more than 1 MiB" },
    { name: "a large file", file: "large", fails: "Cannot read: it has more than 1 MiB" },
    { name: "a directory", file: ".", fails: /EISDIR/ },
    { name: "nothing", file: "nosuch", fails: /ENOENT/ },
  ])("$name", async ({ file, says, fails }) => {
    const readings = [readGiven(given(file), 1 << 20, never), (async () => readSettings(given(file), 1 << 20))()];
    for (const reading of readings) {
      if (fails === undefined) expect(String(await reading)).toBe(says);
      else await expect(reading).rejects.toThrow(fails);
    }
  });

  test("what has no size to begin with, as files of /proc", async () => {
    expect(readSettings({ ...endless, path: "/proc/version" }, 1 << 20).toString()).toMatch(/^Linux/);
    expect(await readGiven({ ...endless, path: "/dev/null" }, 1, never)).toHaveLength(0);
  });

  test("a pipe is waited for, and read up to the limit", async () => {
    const write = createWriteStream(join(directory, "spoken"));
    const read = readGiven(given("spoken"), 10, never);
    write.end("through it");
    expect(String(await read)).toBe("through it");
    const more = createWriteStream(join(directory, "spoken"));
    more.on("error", () => undefined);
    const refused = readGiven(given("spoken"), 10, never);
    more.end("through it, and on");
    await expect(refused).rejects.toThrow("Cannot read: it has more than 10 bytes");
  });

  test("an abort ends the waiting for a pipe without a writer", async () => {
    const stop = new AbortController();
    const read = readGiven(given("silent"), 10, stop.signal);
    stop.abort(new Error("enough"));
    await expect(read).rejects.toThrow("enough");
  });

  test("settings are in no pipe", () => {
    expect(() => readSettings(given("silent"), 10)).toThrow("Cannot read: it is a pipe");
  });
});

describe("a stream", () => {
  test("of a file or a pipe", async () => {
    expect((await buffer(openGiven(given("file")))).toString()).toBe("some text");
    const write = createWriteStream(join(directory, "spoken"));
    const read = buffer(openGiven(given("spoken")));
    write.end("through it");
    expect((await read).toString()).toBe("through it");
  });

  test("of no device and no directory", () => {
    expect(() => openGiven(endless)).toThrow("Cannot read: it is a device");
    expect(() => openGiven(given("."))).toThrow("Cannot read: it is a directory");
  });
});

describe("a pipe to write to", () => {
  test("is opened once it has a reader", async () => {
    const opened = openPipe(join(directory, "read"), never);
    const read = buffer(openGiven(given("read")));
    (await opened).end("for you");
    expect((await read).toString()).toBe("for you");
  });

  test("an abort ends the waiting for a reader", async () => {
    const stop = new AbortController();
    const opened = openPipe(join(directory, "silent"), stop.signal);
    stop.abort(new Error("enough"));
    await expect(opened).rejects.toThrow(/abort/);
  });
});
