import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, missing, temporary } from "../e2e/harness.ts";
import { contextFor, ROWS } from "../e2e/rows.ts";
import { type EscapeClass, escapeClasses, type Isolation } from "./attempts.ts";

/** Seconds of one attempt. */
const LIMIT_S = 20;

/** Declares the tests of one rung: a build whose RUNs hold all attempts, a class in each. */
export function escapesFrom(isolation: Isolation): void {
  const row = ROWS.find((one) => one.isolation === isolation);
  const why = row?.why ?? missing("cc");
  const reason = why === undefined ? "" : `, skipped: ${why}`;

  describe.skipIf(why !== undefined)(`no step gets out: ${isolation}${reason}`, { timeout: 300_000 }, () => {
    const folder = temporary();
    const secret = join(folder.path, "secret");
    const classes = escapeClasses(secret).filter(({ not = [] }) => !not.includes(isolation));
    let output = "";
    const before = settings();

    beforeAll(() => {
      chmodSync(folder.path, 0o777);
      writeFileSync(secret, "not of any image\n", { mode: 0o644 });
      const root = busyboxRoot(mkdtempSync(join(folder.path, "root-")));
      for (const path of ["t", "mnt", "escape", "var"]) mkdirSync(join(root, path));
      const program = join(root, "escape/call");
      const made = spawnSync("cc", ["-static", "-O1", "-o", program, join(import.meta.dirname, "call.c")]);
      if (made.status !== 0) throw new Error(`cc: ${made.stderr.toString()}`);
      const files = Object.fromEntries(classes.flatMap((one, at) => filesOf(one, at, isolation)));
      const runs = classes.map(({ flags = "" }, at) => `RUN ${flags} /bin/sh /escape/class-${at}`);
      const dockerfile = ["FROM base", "COPY * /escape/", ...runs, ""].join("\n");
      const context = contextFor(folder.path, { ...files, Dockerfile: dockerfile });
      const base = join(folder.path, "base.tar");
      spawnSync("tar", ["-cf", base, "-C", root, "."]);
      row?.kiln(folder.path, ["import", base, "base"]);
      const built = row?.kiln(folder.path, ["build", "--progress", "plain", "--no-cache", context]);
      output = built?.stderr ?? "";
      expect(built?.status, output.slice(-3000)).toBe(0);
    });
    afterAll(() => folder[Symbol.dispose]());

    test("the machine's settings are as before", () => {
      expect(settings()).toEqual(before);
    });

    test.each(classes.map((one, at) => ({ ...one, at })))("$name", ({ at, attempts }) => {
      const tried = attempts.filter(({ not = [] }) => !not.includes(isolation));
      const verdicts = [...output.matchAll(/(held|ESCAPED) (\d+)-(\d+)$/gm)]
        .filter(([, , found]) => Number(found) === at)
        .map(([, verdict, , number]) => `${verdict}: ${attempts[Number(number)]?.what}`);
      // A step that is run again says it twice.
      expect([...new Set(verdicts)].toSorted()).toEqual(tried.map(({ what }) => `held: ${what}`).toSorted());
    });
  });
}

const SETTINGS = ["sys/kernel/core_pattern", "sys/kernel/hostname", "sys/net/ipv4/ip_forward", "swaps"];

/** Reads what attempts try to change. */
function settings(): Readonly<Record<string, string>> {
  return Object.fromEntries(SETTINGS.map((name) => [name, readFileSync(join("/proc", name), "utf8")]));
}

/** Makes a script for each attempt of a class, and one that runs them one after the other. */
function filesOf({ attempts }: EscapeClass, at: number, isolation: Isolation): readonly (readonly [string, string])[] {
  const tried = attempts.flatMap((one, n) => (one.not?.includes(isolation) === true ? [] : [[n, one] as const]));
  const lines = tried.map(
    ([n]) =>
      `if timeout -s KILL ${LIMIT_S} sh /escape/try-${at}-${n} >/dev/null 2>&1 </dev/null; then echo "ESCAPED ${at}-${n}"; else echo "held ${at}-${n}"; fi`,
  );
  return [
    [`class-${at}`, `${lines.join("\n")}\nexit 0\n`],
    ...tried.map(([n, { script }]) => [`try-${at}-${n}`, `${script}\n`] as const),
  ];
}
