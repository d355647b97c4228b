import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import glob from "fast-glob";
import { afterAll, describe, expect, test } from "vitest";
import type { CommandTable } from "../../src/cli/command-table.ts";
import { commandsPage, errorsPage } from "../../src/cli/manual/reference.ts";
import { has, missing, PROJECT, temporary } from "./harness.ts";

const PAGES = (await glob(["*.md", "docs/*.md"], { cwd: PROJECT })).toSorted();
const page = (name: string): string => readFileSync(join(PROJECT, name), "utf8");
const built = (name: string): unknown => JSON.parse(page(`build/${name}`));
// The build writes both files from these types.
const TABLE = built("commands.json") as CommandTable;
const ERRORS = built("errors.json") as Readonly<Record<string, string>>;

describe("the reference is what `npm run reference` writes", () => {
  test("docs/commands.md", () => expect(page("docs/commands.md")).toBe(commandsPage(TABLE)));
  test("docs/errors.md", () => expect(page("docs/errors.md")).toBe(errorsPage(ERRORS)));
});

/** Command lines of kiln in indented and fenced blocks, joined over their line ends. */
function commandLines(text: string): readonly string[] {
  const joined = text.replaceAll(/ *\\\n\s*/g, " ");
  return [...joined.matchAll(/^(?: {4}|\$ )(?:[A-Z_]+=\S+ )*kiln (.*)$/gm)].map(([, line = ""]) => line);
}

/** Finds the command that a line begins with, in kiln's own words or docker's. */
function entryOf(line: string): CommandTable["commands"][number] | undefined {
  const [first = "", second = ""] = line.split(/\s+/);
  const own = Object.hasOwn(TABLE.groups, first) ? TABLE.groups[first]?.[second]?.[0] : undefined;
  return (
    TABLE.commands.find(({ words }) => words === `${first} ${second}`) ??
    TABLE.commands.find(({ name, words }) => name === (own ?? first) || words === first)
  );
}

/** Words that kiln reads before its commands are declared: kaniko's command line has flags of its own. */
const NOT_DECLARED = new Set(["executor", "buildx", "builder", "-h", "--help", "--version"]);

test.each(PAGES)("each command that %s shows is there, with its flags", (name) => {
  const wrong: string[] = [];
  for (const line of commandLines(page(name))) {
    const [first = ""] = line.split(/\s+/);
    if (NOT_DECLARED.has(first) || /[…<]|\.\.\./.test(first)) continue;
    const entry = entryOf(line);
    if (entry === undefined) {
      wrong.push(line);
      continue;
    }
    const known = new Set([...entry.flags, ...TABLE.kiln.flags].flatMap(({ names }) => names));
    const [own = ""] = line.split(/ -- |\s[#|>&;]|\s\|\|\s/);
    const flags = [...own.replaceAll(/'[^']*'|"[^"]*"/g, "").matchAll(/(?<=\s)--[a-z][\w-]*/g)].map(([flag]) => flag);
    wrong.push(...flags.filter((flag) => !known.has(flag)).map((flag) => `${flag} in: ${line}`));
  }
  expect(wrong).toEqual([]);
});

interface Shown {
  readonly command: string;
  /** The lines below it; `...` stands for anything. */
  readonly output: string;
}

function consoleBlocks(text: string): readonly Shown[] {
  const blocks = [...text.matchAll(/^```console\n([\s\S]*?)^```$/gm)].map(([, block = ""]) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return { command: part.slice(0, end), output: part.slice(end + 1) };
      }),
  );
}

/** Returns whether a text is what a page shows. */
function isShown(text: string, shown: string): boolean {
  const pattern = shown
    .split("...")
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`))
    .join(String.raw`[\s\S]*`);
  return new RegExp(`^${pattern}$`).test(text);
}

interface Preparation {
  /** Makes what the page takes as given, in an empty folder with busybox as the image `busybox`. */
  readonly script: string;
  /** Begin of the commands that fail, as the page says. */
  readonly failing?: string;
}

/** Pages that do not begin with an empty folder. */
const PREPARATIONS: ReadonlyMap<string, Preparation> = new Map([
  ["docs/events.md", { script: String.raw`printf 'FROM busybox\nCOPY Dockerfile /\n' >Dockerfile` }],
  [
    "docs/failing-steps.md",
    {
      script: String.raw`printf '#!/bin/sh\nrm /etc/group; chmod 700 /src; echo core >/src/reports/core; exit 3\n' >base/bin/make
        chmod 755 base/bin/make; mkdir -p base/etc base/src/reports; echo root:x:0: >base/etc/group
        kiln import base tools && printf 'FROM tools AS test\nRUN make test\nFROM test\nCOPY Dockerfile /\n' >Dockerfile`,
      failing: "kiln build --artifact",
    },
  ],
]);

/** Programs that pages use and that need not be on a machine: a line that begins with one is left out without it. */
const OPTIONAL_PROGRAMS = ["jq"].filter((program) => !has(program));

const BASE = `mkdir -p base/bin && cp "$(command -v busybox)" base/bin/busybox
for name in sh cat mkdir chmod echo rm; do ln -s busybox base/bin/$name; done
kiln import base busybox`;

const why = missing("busybox");
if (why !== undefined) console.warn(`the commands of the pages are not run: ${why}`);

describe.skipIf(why !== undefined)("the commands that pages show run", { timeout: 120_000 }, () => {
  const folder = temporary();
  afterAll(() => folder[Symbol.dispose]());

  test.each(PAGES.filter((name) => consoleBlocks(page(name)).length > 0))("%s", (name) => {
    const directory = join(folder.path, name.replaceAll("/", "-"));
    mkdirSync(join(directory, "home"), { recursive: true });
    const env = {
      PATH: `${join(PROJECT, "bin")}:${process.env["PATH"] ?? ""}`,
      HOME: join(directory, "home"),
      KILN_ROOT: join(directory, "store"),
    };
    const shell = (command: string): SpawnSyncReturns<string> =>
      spawnSync("sh", ["-c", command], { cwd: directory, env, encoding: "utf8", timeout: 60_000 });
    const prepared = PREPARATIONS.get(name);
    if (prepared !== undefined) expect(shell(`set -e\n${BASE}\n${prepared.script}`)).toMatchObject({ status: 0 });
    for (const { command, output } of consoleBlocks(page(name))) {
      if (OPTIONAL_PROGRAMS.some((program) => command.startsWith(`${program} `))) continue;
      const done = shell(command);
      const fails = prepared?.failing !== undefined && command.startsWith(prepared.failing);
      expect(done, `${command}\n${done.stdout}${done.stderr}`).toMatchObject({ status: fails ? 1 : 0 });
      if (!isShown(done.stdout, output)) expect(done.stdout, `$ ${command}`).toBe(output);
    }
  });
});
