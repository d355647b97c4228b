import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import glob from "fast-glob";
import { expect, onTestFinished, test } from "vitest";
import { BuildError } from "../../../lib/core/errors.ts";
import { renderError } from "../../../lib/core/code-frame.ts";
import { withVariables } from "./defaults.ts";
import { valuesOf } from "./effective.ts";
import { findSettings } from "./find.ts";
import { settingsPage, settingsSchema } from "./pages.ts";
import { readSettings } from "./read.ts";
import { SETTINGS, VARIABLES } from "./table.ts";

const ROOT = join(import.meta.dirname, "../../..");

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "kiln-settings-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function read(text: string, scope: "project" | "user" | "system"): readonly (readonly [string, string])[] {
  const path = join(folder(), "kiln.toml");
  writeFileSync(path, text);
  return readSettings({ path, scope }, "/home/me").map(({ setting, text: value }) => [setting.key, value] as const);
}

function mistake(text: string, scope: "project" | "user" = "user"): string {
  try {
    read(text, scope);
  } catch (error) {
    if (error instanceof BuildError && error.code === "cli/settings")
      return renderError(error).replace(/--> \S*\//, "--> ");
    throw error;
  }
  return "";
}

test("values are as their variables have them", () => {
  const text =
    'jobs = 8\noffline = true\ncache-from = ["a", "b"]\nroot = "~/store"\nsbom = true\nkeep-storage = "20g"\n';
  expect(read(text, "system")).toEqual([
    ["jobs", "8"],
    ["offline", "1"],
    ["cache-from", "a\nb"],
    ["root", "/home/me/store"],
    ["sbom", "true"],
    ["keep-storage", "20g"],
  ]);
});

test.each([
  {
    text: "x = 1\njbos = 4\n",
    says: [/no setting "x"/, /kiln.toml:2:1\n/, /no setting "jbos" \(did you mean "jobs"\?\)/],
  },
  { text: "[build]\njobs = 4\n", says: [/no table "build"/, /kiln.toml:1:1/] },
  { text: 'jobs = "4"\n', says: [/"jobs" is to be a number/] },
  { text: "jobs = 0\n", says: [/"jobs" is to be of another form/] },
  { text: 'progress = "plian"\n', says: [/one of auto.*did you mean "plain"/] },
  { text: 'pull-ttl = "soon"\n', says: [/"pull-ttl" is to be of another form/] },
  { text: "offline = 1\n", says: [/true or false/] },
  { text: 'cache-from = "a"\n', says: [/a list of texts/] },
  { text: 'root = "store"\n', says: [/an absolute path/] },
  { text: 'target = "a\\nb"\n', says: [/a text of one line/] },
  { text: "jobs = \n", says: [/It is not TOML/, /kiln.toml:1:\d+/] },
  { text: "jobs = 1\njobs = 2\n", says: [/It is not TOML/, /kiln.toml:2/] },
  { text: '"__proto__" = 1\n', says: [/no setting "__proto__"/] },
])("$text is an error with its line", ({ text, says }) => {
  const told = mistake(text);
  for (const part of says) expect(told).toMatch(part);
});

// What a cloned repository must not be able to do.
test.each(SETTINGS.filter(({ isForProjects }) => !isForProjects))("a project may not set $key", ({ key }) => {
  expect(mistake(`${key} = "x"\n`, "project")).toMatch(/A project's file may not set/);
});

test("what a project may set loosens nothing", () => {
  const open = SETTINGS.filter(({ isForProjects }) => isForProjects).map(({ key }) => key);
  // A new key in this list is to be argued for in docs/settings.md.
  expect(open).toEqual(["pull-ttl", "platform", "file", "target", "jobs", "reproducible", "shm-size"]);
  for (const path of ["/etc/shadow", "../x", "a/../../x", "-"])
    expect(mistake(`file = ${JSON.stringify(path)}\n`, "project")).toMatch(/a path inside the project/);
});

test("a project's file is no link and no pipe, and never waited for", () => {
  const directory = folder();
  const path = join(directory, "kiln.toml");
  symlinkSync("/etc/passwd", path);
  const host = { env: {}, workingDirectory: directory, homeDirectory: directory };
  expect(findSettings(host, directory)).toEqual([{ path, scope: "system" }]);
  expect(() => readSettings({ path, scope: "project" }, "/")).toThrow(/may not be a link/);
  rmSync(path);
  execFileSync("mkfifo", [path]);
  expect(() => readSettings({ path, scope: "project" }, "/")).toThrow(/it is no file/);
});

test("the project's file comes before the user's, and that before the system's", async () => {
  const [project, home, system] = [folder(), folder(), folder()];
  mkdirSync(join(home, ".config/kiln"), { recursive: true });
  const user = join(home, ".config/kiln/kiln.toml");
  writeFileSync(join(project, "kiln.toml"), "jobs = 1\n");
  writeFileSync(user, 'jobs = 2\ntarget = "user"\n');
  writeFileSync(join(system, "kiln.toml"), 'jobs = 3\ntarget = "system"\noffline = true\n');
  const host = { env: {}, workingDirectory: project, homeDirectory: home };
  const values = await valuesOf(findSettings(host, system), home);
  const shown = [...values].map(([name, { text, file, line }]) => [name, [text, file.scope, line]]);
  expect(Object.fromEntries(shown)).toEqual({
    KILN_JOBS: ["1", "project", 1],
    KILN_OFFLINE: ["1", "system", 3],
    KILN_TARGET: ["user", "user", 2],
  });
  expect(findSettings({ ...host, env: { KILN_CONFIG: "off" } }, system)).toEqual([]);
  expect(() => findSettings({ ...host, env: { KILN_CONFIG: "nothere" } }, system)).toThrow(/no such file/);
  // In the user's own folder the file is the user's.
  expect(findSettings({ ...host, workingDirectory: join(home, ".config/kiln") }, project)[0]?.scope).toBe("user");
});

test("a home that leads nowhere has no settings", () => {
  const directory = folder();
  symlinkSync("loop", join(directory, "loop"));
  writeFileSync(join(directory, "file"), "");
  for (const home of ["loop", "file", "x".repeat(300)]) {
    const host = { env: {}, workingDirectory: join(directory, home), homeDirectory: join(directory, home) };
    expect(findSettings(host, join(directory, home))).toEqual([]);
    expect(() => findSettings({ ...host, env: { KILN_CONFIG: join(directory, home, "k") } }, directory)).toThrow(
      /no such file/,
    );
  }
});

test("a flag comes before its variable", () => {
  const build = new Command("build")
    .exitOverride()
    .option("--jobs <n>")
    .option("--reproducible")
    .option("--cache-from <x>");
  build.parse(["--jobs", "1"], { from: "user" });
  const env = { KILN_JOBS: "2", KILN_REPRODUCIBLE: "true", KILN_CACHE_FROM: "a\nb", KILN_TARGET: "" };
  expect(withVariables(build, build.opts(), env)).toEqual({ jobs: "1", reproducible: true, cacheFrom: ["a", "b"] });
  expect(withVariables(build, {}, { KILN_REPRODUCIBLE: "0" })).toEqual({});
  expect(() => withVariables(build, {}, { KILN_REPRODUCIBLE: "maybe" })).toThrow(/neither true nor false/);
});

test("the schema and the page are those of the table", () => {
  const page = readFileSync(join(ROOT, "docs/settings.md"), "utf8");
  const schema: unknown = JSON.parse(readFileSync(join(ROOT, "docs/kiln.schema.json"), "utf8"));
  expect(schema, "npm run settings").toEqual(JSON.parse(settingsSchema()));
  expect(page, "npm run settings").toBe(settingsPage(page));
});

test("every flag of a setting is one of its command, and every variable of kiln that is read is in the table", async () => {
  const table: unknown = JSON.parse(readFileSync(join(ROOT, "build/commands.json"), "utf8"));
  const flags = SETTINGS.flatMap(({ flag }) => flag ?? []);
  expect(flags.filter((flag) => !JSON.stringify(table).includes(`"${flag}"`))).toEqual([]);
  const files = await glob("{src,lib,solver,frontend}/**/*.ts", { cwd: ROOT, ignore: ["**/*.test.ts", "**/testing*"] });
  const names = files.flatMap((file) =>
    [...readFileSync(join(ROOT, file), "utf8").matchAll(/env\["(KILN_\w+)"\]/g)].map(([, name = ""]) => name),
  );
  const known = new Set([...SETTINGS.map(({ variable }) => variable), ...Object.keys(VARIABLES)]);
  // The launcher's own words to the program, and a test's.
  const internal = new Set(["KILN_HOME", "KILN_ROOTLESS", "KILN_TEST_RUNTIME"]);
  expect([...new Set(names)].filter((name) => !known.has(name) && !internal.has(name))).toEqual([]);
});
