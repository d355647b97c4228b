import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PROJECT, has, temporary } from "./harness.ts";
import { contextFor, headersOf, ROWS } from "./rows.ts";

const CONTEXT = join(PROJECT, "testdata/e2e/exact");
const PACKAGES = "acl,attr,sudo,libcap2-bin,rsync,adduser,passwd,login,util-linux,perl-base";
const STAGES = [...readFileSync(join(CONTEXT, "Dockerfile"), "utf8").matchAll(/ AS (\S+)/g)]
  .map(([, name = ""]) => name)
  .filter((name) => name !== "people");

/** Debian with the programs that the stages call, made once and kept in build/. */
function toolsTar(): string {
  const tar = join(PROJECT, "build/test-cache/debian-bookworm-exact.tar");
  if (existsSync(tar)) return tar;
  mkdirSync(join(PROJECT, "build/test-cache"), { recursive: true });
  const own = `${tar}.${process.pid}`;
  const made = spawnSync(
    "mmdebstrap",
    ["--variant=minbase", `--include=${PACKAGES}`, "--format=tar", "bookworm", own],
    {
      encoding: "utf8",
    },
  );
  if (made.status !== 0) throw new Error(`mmdebstrap failed: ${made.stderr}`);
  renameSync(own, tar);
  return tar;
}

interface Made {
  readonly headers: readonly string[];
  /** Output of programs, by the name of the file. */
  readonly said: readonly (readonly [name: string, text: string])[];
}

function readTar(tar: string, folder: string): Made {
  const directory = mkdtempSync(join(folder, "unpacked-"));
  spawnSync("tar", ["-xf", tar, "-C", directory, "o"]);
  const names = spawnSync("find", ["o", "-type", "f", "-size", "-32k"], { cwd: directory, encoding: "utf8" });
  const said = names.stdout
    .split("\n")
    .filter((name) => name !== "")
    .toSorted()
    .map((name) => [name, readFileSync(join(directory, name), "utf8")] as const);
  rmSync(directory, { recursive: true });
  return { headers: headersOf(tar), said };
}

/** The result of the first row that could be tried. */
const expected = new Map<string, Made>();
const rows = ROWS.filter(({ isolation }) => ["root", "single-id"].includes(isolation));

describe.each(rows)("$name", { timeout: 600_000 }, (row) => {
  const why = row.why ?? (has("mmdebstrap") ? undefined : "needs mmdebstrap");
  if (why !== undefined) console.warn(`the stages of ${CONTEXT} as ${row.name} are skipped: ${why}`);
  const folder = temporary();
  const out = join(folder.path, "out");
  const must = (...args: readonly string[]): void => {
    const outcome = row.kiln(folder.path, args);
    if (outcome.status !== 0) throw new Error(`kiln ${args.join(" ")}: ${outcome.stderr}\n${outcome.stdout}`);
  };

  beforeAll(() => {
    if (why !== undefined) return;
    mkdirSync(out);
    chmodSync(out, 0o777);
    chmodSync(folder.path, 0o755);
    const tar = join(folder.path, "debian.tar");
    cpSync(toolsTar(), tar);
    must("import", tar, "debian");
  });
  afterAll(() => folder[Symbol.dispose]());

  test.skipIf(why !== undefined).each(STAGES)("the stage %s gives the files that root gives", (stage) => {
    const tar = join(out, `${stage}.tar`);
    const context = contextFor(folder.path, {}, CONTEXT);
    must("build", "--progress", "plain", "--target", stage, "--output", `type=tar,dest=${tar}`, context);
    const made = readTar(tar, folder.path);
    rmSync(tar);
    const before = expected.get(stage) ?? made;
    expected.set(stage, before);
    expect(made).toEqual(before);
  });
});
