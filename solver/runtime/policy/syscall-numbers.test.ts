import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { policyCalls } from "./seccomp.ts";
import { SYSCALL_NUMBERS } from "./syscall-numbers.ts";

const SCRIPT = join(import.meta.dirname, "../../../scripts/syscall-numbers.ts");
const TABLE = join(import.meta.dirname, "syscall-numbers.ts");
const MACHINE_HEADERS = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";

const hasHeaders = existsSync(MACHINE_HEADERS);
if (!hasHeaders) console.warn("the table of system calls is not compared: needs the kernel's headers (libc6-dev)");

function script(...words: readonly string[]): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(process.execPath, [SCRIPT, ...words], { encoding: "utf8" });
}

test.skipIf(!hasHeaders)("the numbers are those of this machine's kernel headers", () => {
  const { status, stderr } = script("--check");
  expect({ status, wrong: stderr.split("\n").filter((line) => line.includes(" in the headers and ")) }).toEqual({
    status: 0,
    wrong: [],
  });
});

test("every call of the policy has a number somewhere, and no other has", () => {
  expect(Object.keys(SYSCALL_NUMBERS)).toEqual(policyCalls());
});

describe("headers of another kernel", () => {
  /** Headers as the table has them, but for a change of the x64 ones. */
  const withHeaders = (change: (text: string) => string, use: (folder: string) => void): void => {
    const folder = mkdtempSync(join(tmpdir(), "kiln-headers-"));
    try {
      for (const [machine, path] of [
        ["x64", "x86_64-linux-gnu/asm/unistd_64.h"],
        ["i386", "x86_64-linux-gnu/asm/unistd_32.h"],
        ["arm64", "aarch64-linux-gnu/asm/unistd_64.h"],
      ] as const) {
        const lines = Object.entries(SYSCALL_NUMBERS).flatMap(([name, numbers]) => {
          const number = numbers[machine];
          return number === undefined ? [] : [`#define __NR_${name} ${number}\n`];
        });
        mkdirSync(join(folder, path, ".."), { recursive: true });
        const text = `#ifndef _ASM\n${lines.join("")}#define __NR_newest 470\n#endif\n`;
        writeFileSync(join(folder, path), machine === "x64" ? change(text) : text);
      }
      use(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test.each([
    { name: "the same numbers", change: (text: string) => text, line: undefined },
    {
      name: "another number",
      change: (text: string) => text.replace("__NR_accept 43\n", "__NR_accept 44\n"),
      line: "accept on x64 is 44 in the headers and 43 in the table",
    },
    {
      name: "a call that is gone",
      change: (text: string) => text.replace("#define __NR_accept 43\n", ""),
      line: "accept on x64 is no call in the headers and 43 in the table",
    },
    {
      name: "a call that the table lacks",
      change: (text: string) => `${text}#define __NR_chown32 469\n`,
      line: "chown32 on x64 is 469 in the headers and no call in the table",
    },
    {
      name: "an older kernel, which lacks a call",
      change: (text: string) => text.replaceAll(/#define __NR_\w+ 4[5-7]\d\n/g, ""),
      line: undefined,
    },
  ])("with $name", ({ change, line }) => {
    withHeaders(change, (folder) => {
      expect(script("--check", folder)).toMatchObject({
        status: line === undefined ? 0 : 1,
        stderr: line === undefined ? "" : `${line}\n`,
      });
    });
  });

  test("that are older than the policy make no table", () => {
    const before = readFileSync(TABLE, "utf8");
    withHeaders(
      (text) => text.replaceAll(/#define __NR_\w+ 4[5-7]\d\n/g, ""),
      (folder) => {
        const { status, stderr } = script(folder);
        expect(status).toBe(1);
        expect(stderr).toMatch(/has calls up to \d+ for x64, and the policy speaks of calls up to 466\n$/);
      },
    );
    expect(readFileSync(TABLE, "utf8")).toBe(before);
  });
});
