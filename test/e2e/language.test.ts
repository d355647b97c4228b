import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, PROJECT, temporary } from "./harness.ts";

const skip = missing("tar");
if (skip !== undefined) console.warn(`skipped: the language through bin/kiln: ${skip}`);

function write(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
}

/** Lists mode, owner and name of every file of a tar, in order of name. */
function listing(tar: string): string[] {
  const lines = execFileSync("tar", ["-tvf", tar, "--numeric-owner"], { encoding: "utf8" }).split("\n");
  return lines.filter(Boolean).map((line) => {
    const [mode = "", owner = "", , , , ...name] = line.split(/\s+/);
    return `${mode} ${owner} ${name.join(" ")}`;
  });
}

/** Lists the files that a context with only copies gives. */
function filesOf(root: string, context: string, input?: string): string[] {
  const tar = join(root, "files.tar");
  const options = input === undefined ? {} : { input };
  const { status, stderr } = kiln(join(root, "store"), ["build", "-o", `type=tar,dest=${tar}`, context], options);
  if (status !== 0) throw new Error(stderr);
  return listing(tar).toSorted((a, b) => (name(a) < name(b) ? -1 : 1));
}

const name = (line: string): string => line.split(" ").slice(2).join(" ");

describe.skipIf(skip !== undefined)("bin/kiln build", { timeout: 60_000 }, () => {
  test("--exclude and --parents copy what the documentation of the language says", () => {
    using home = temporary();
    const context = join(home.path, "context");
    cpSync(join(PROJECT, "testdata/differential/copy-exclude-parents"), context, { recursive: true });
    const dockerfile = readFileSync(join(context, "Dockerfile"), "utf8").replace("FROM ${BASE}", "FROM scratch");
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    const names = filesOf(home.path, context).map(name);
    expect(names.filter((one) => !one.endsWith("/"))).toMatchInlineSnapshot(`
      [
        "e/k",
        "e2/Dockerfile",
        "e2/d/a.md",
        "e2/d/k",
        "p1/d/deep/x.txt",
        "p2/deep/x.txt",
        "p3/d/deep/er/y.txt",
        "p3/d/deep/x.txt",
        "p4/d/a.md",
        "p4/d/deep/er/y.txt",
        "p4/d/deep/x.txt",
        "p4/d/k",
        "p4/e.txt",
      ]
    `);
  });

  test("--chmod with letters, and --link beside what is there", () => {
    using home = temporary();
    write(join(home.path, "c"), {
      "d/run": "x",
      Dockerfile: [
        "FROM scratch",
        "COPY --chmod=u=rwX,go=rX d /letters/",
        "COPY --chmod=a+x,o-r --chown=3:4 d/run /added",
        "COPY --link --chown=5 d/run /linked/run",
        "COPY --chmod=2750 d /setgid/",
      ].join("\n"),
    });
    expect(filesOf(home.path, join(home.path, "c"))).toMatchInlineSnapshot(`
      [
        "-rwxr-x--x 3/4 added",
        "drwxr-xr-x 0/0 letters/",
        "-rw-r--r-- 0/0 letters/run",
        "drwxr-xr-x 5/5 linked/",
        "-rw-r--r-- 5/5 linked/run",
        "drwxr-x--- 0/0 setgid/",
        "-rwxr-s--- 0/0 setgid/run",
      ]
    `);
  });

  test("a tar on standard input keeps its owners, and an ignore file in it is only a file", () => {
    using home = temporary();
    const tree = join(home.path, "tree");
    write(tree, { "d/a": "a", ".dockerignore": "d\n", Dockerfile: "FROM scratch\nCOPY . /\n" });
    const tar = execFileSync("tar", ["-c", "--owner=12", "--group=34", "--mode=u=rw,g=r,o=,+X", "-C", tree, "."]);
    expect(filesOf(home.path, "-", tar.toString("latin1"))).toMatchInlineSnapshot(`
      [
        "-rw-r----- 12/34 .dockerignore",
        "-rw-r----- 12/34 Dockerfile",
        "drwxr-x--x 12/34 d/",
        "-rw-r----- 12/34 d/a",
      ]
    `);
  });

  test("a Dockerfile of a tar cannot be a link to a file of this machine", () => {
    using home = temporary();
    const tree = join(home.path, "tree");
    const outside = join(home.path, "outside");
    write(home.path, { outside: "FROM scratch\nLABEL secret=x\n" });
    mkdirSync(tree);
    symlinkSync(outside, join(tree, "Dockerfile"));
    const input = execFileSync("tar", ["-c", "-C", tree, "."]).toString("latin1");
    const { status, stderr } = kiln(join(home.path, "store"), ["build", "-"], { input });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringContaining("failed to read dockerfile: open Dockerfile: no such file or directory"),
    });
  });

  test("another frontend is refused at its line", () => {
    using home = temporary();
    write(home.path, { Dockerfile: "# syntax=example.com/other:1\nFROM scratch\n" });
    const { status, stderr } = kiln(join(home.path, "store"), ["build", home.path]);
    expect(status).toBe(1);
    expect(stderr).toContain('Cannot use the frontend "example.com/other:1"');
    expect(stderr).toContain("Dockerfile:1:10");
  });

  test("--call=check answers in JSON also when the file cannot be read", () => {
    using home = temporary();
    write(home.path, { Dockerfile: "FROM scratch\nRUNN x\n" });
    const { status, stdout } = kiln(join(home.path, "store"), ["build", "--call=check,format=json", home.path]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      warnings: null,
      buildError: { location: { ranges: [{ start: { line: 2 } }] } },
    });
  });

  test("a build context by name replaces a stage, and reads its own ignore file", () => {
    using home = temporary();
    write(join(home.path, "c"), {
      Dockerfile: "FROM no.such.invalid/x AS files\nFROM scratch\nCOPY --from=files . /\n",
    });
    write(join(home.path, "files"), { a: "a", "b.log": "b", ".dockerignore": "*.log\n" });
    const tar = join(home.path, "files.tar");
    const flags = ["--build-context", `files=${join(home.path, "files")}`, "-o", `type=tar,dest=${tar}`];
    mustKiln(join(home.path, "store"), ["build", ...flags, join(home.path, "c")]);
    expect(listing(tar).map(name).toSorted()).toEqual([".dockerignore", "a"]);
  });
});
