import { existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of what failing steps leave are skipped: ${why}`);

const DOCKERFILE = `FROM base AS test
RUN mkdir -p /src/reports/sub && echo one > /src/reports/a.xml && echo two > /src/reports/sub/b
RUN echo core > /src/reports/core; rm /etc/group; chmod 700 /src; for i in $(seq 300); do echo line $i; done; exit 9
FROM base
COPY --from=test /src /src
`;

describe.skipIf(why !== undefined)("what a failing step leaves", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");
  const out = join(folder.path, "out");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
  });
  beforeEach(() => rmSync(out, { recursive: true, force: true }));
  afterAll(() => folder[Symbol.dispose]());

  function build(dockerfile: string, ...flags: string[]): { readonly status: number | null; readonly stderr: string } {
    writeFileSync(join(context, "Dockerfile"), dockerfile);
    return kiln(store, ["build", "--progress=plain", ...flags, context]);
  }
  const artifact = (from: string, name = ""): string => `--artifact=${from}=${join(out, name)}`;

  test("--artifact writes files of the stage that failed, and the status stays", () => {
    const { status, stderr } = build(
      DOCKERFILE,
      artifact("test:/src/reports", "stage"),
      artifact("failed:/src/reports/core", "failed/core"),
      artifact("test:/src/reports/*.xml", "some"),
      artifact("test:/nothing", "nothing"),
      artifact("tets:/src", "typo"),
    );
    expect(status).toBe(1);
    expect(readdirSync(join(out, "stage")).toSorted()).toEqual(["a.xml", "core", "sub"]);
    expect(readFileSync(join(out, "failed/core"), "utf8")).toBe("core\n");
    expect(readdirSync(join(out, "some"))).toEqual(["a.xml"]);
    expect(existsSync(join(out, "nothing"))).toBe(false);
    expect(stderr).toContain("WARN: --artifact test:/nothing is not written: there is no such file");
    expect(stderr).toContain(
      'WARN: --artifact tets:/src is not written: no stage has that name (did you mean "test"?)',
    );
    expect(stderr).toContain("exit code: 9");
    expect(stderr.slice(stderr.indexOf("error[")).match(/^ *line \d+$/gm)).toHaveLength(200);
  });

  test("--artifact writes them when the build succeeds, also from the cache, and a second time over the first", () => {
    const good = DOCKERFILE.replace("exit 9", "exit 0");
    for (const time of ["run", "cached"]) {
      const { status } = build(good, artifact("test:/src/reports", "stage"), artifact("failed:/src", "none"));
      expect({ time, status }).toEqual({ time, status: 0 });
      expect(readFileSync(join(out, "stage/sub/b"), "utf8")).toBe("two\n");
      expect(existsSync(join(out, "stage/reports"))).toBe(false);
      expect(existsSync(join(out, "none"))).toBe(false);
    }
  });

  test("links of a stage lead neither out of its tree nor out of the destination", () => {
    const victim = join(folder.path, "victim");
    mkdirSync(victim);
    const { status, stderr } = build(
      `FROM base
RUN mkdir -p /a /b/l && ln -s ${victim} /a/l && ln -s /../../../../etc/passwd /out && echo x > /b/l/file && false`,
      artifact("failed:/a", "place"),
      artifact("failed:/out", "passwd"),
      artifact("failed:/b", "place"),
      artifact("failed:/a", "again"),
      artifact("failed:/b/l", "again/l/deep"),
    );
    expect(status).toBe(1);
    expect(readdirSync(victim)).toEqual([]);
    expect(readFileSync(join(out, "passwd"), "utf8")).not.toBe(readFileSync("/etc/passwd", "utf8"));
    // The directory of the later one has replaced the link of the earlier one.
    expect(lstatSync(join(out, "place/l")).isDirectory()).toBe(true);
    expect(stderr).toContain("a link of a stage leads elsewhere");
  });

  test("what could lend rights or block a reader is not written", () => {
    const { status } = build(
      "FROM base\nRUN mkdir -m 2755 /a && cd /a && touch x && chown 7 x && chmod 6755 x && mkfifo p && mknod d c 1 3; false",
      artifact("failed:/a", "plain"),
    );
    expect(status).toBe(1);
    expect(readdirSync(join(out, "plain"))).toEqual(["x"]);
    expect(["plain", "plain/x"].map((name) => (lstatSync(join(out, name)).mode & 0o7777).toString(8))).toEqual([
      "755",
      "755",
    ]);
  });

  test("--on-error=export writes what the failed step has changed, and nothing else", () => {
    expect(build(DOCKERFILE, `--on-error=export=${out}`).status).toBe(1);
    expect(readdirSync(join(out, "src/reports"))).toEqual(["core"]);
    expect(existsSync(join(out, "bin"))).toBe(false);
  });

  test.each([
    { flags: ["--artifact", "test=/out"], says: "Cannot use --artifact" },
    { flags: ["--artifact", "test:/a=-"], says: "not to standard output" },
    { flags: ["--artifact", "test:a=b"], says: "write STAGE:/PATH=DESTINATION" },
    { flags: ["--on-error", "export="], says: "export=DIRECTORY" },
    { flags: ["--on-error", "shell"], says: "standard input is not a terminal" },
  ])("$flags is refused before anything is built", ({ flags, says }) => {
    const { status, stderr } = build(DOCKERFILE, ...flags);
    expect(status).toBe(125);
    expect(stderr).toContain(says);
    expect(stderr).not.toContain("#1");
  });

  test("kiln diff STEP shows what a step added, modified and deleted", () => {
    build(DOCKERFILE);
    const failed = ["M /src/  mode 0755 -> 0700", "A /src/reports/core  5B"];
    for (const name of ["failed", "exit 9", "test 3/3"]) {
      const lines = mustKiln(store, ["diff", name]).stdout.trimEnd().split("\n");
      expect(lines[0]).toMatch(/^\[test 3\/3\] RUN echo core/);
      expect(lines).toEqual(expect.arrayContaining(failed));
      expect(lines.find((line) => line.startsWith("D "))).toMatch(/^D \/etc\/group  \d+B$/);
      expect(lines.at(-1)).toMatch(/^1 added, 1 modified, 1 deleted; /);
    }
    expect(mustKiln(store, ["diff", "RUN mkdir"]).stdout).toContain("A /src/reports/sub/b  4B\n");
    const json: unknown = JSON.parse(mustKiln(store, ["diff", "--json", "failed"]).stdout);
    expect(json).toMatchObject({ changes: expect.arrayContaining([expect.objectContaining({ kind: "deleted" })]) });
    expect(kiln(store, ["diff", "RUN nonsense"]).stderr).toContain("the last build has no such step");
  });

  test("kiln shell --before STEP stands before a step that failed, and before one that did not", () => {
    build(
      `FROM base\nENV A=b API_TOKEN=x\nWORKDIR /w\nRUN echo made > made\nRUN --mount=type=tmpfs,target=/t echo half > half; exit 3\n`,
    );
    const failed = kiln(store, ["shell", "--before", "failed", "sh", "-c", "ls; mount | grep -c ' /t '; echo $A"]);
    expect(failed.stdout).toBe("made\n1\nb\n");
    const made = kiln(store, ["shell", "--before", "RUN echo made", "sh", "-c", "ls; pwd; echo $A$API_TOKEN; exit 4"]);
    expect({ status: made.status, stdout: made.stdout }).toEqual({ status: 4, stdout: "/w\nb\n" });
    expect(made.stderr).toContain("without the values of API_TOKEN: they are not kept");
  });
});
