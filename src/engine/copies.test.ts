import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importBusybox, noBusybox } from "../../test/support/busybox.ts";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { build } from "./build.ts";
import { Engine } from "./engine.ts";
import { importImage } from "./images/import-image.ts";

/* COPY, ADD, WORKDIR and RUN as a whole, where what one step leaves meets what another one does. */

const skip = cannotRun ?? noBusybox;
if (skip !== undefined) console.warn(`skipped: copies: ${skip}`);

describe.skipIf(skip !== undefined)("copies", () => {
  let home = "";
  let contexts = 0;
  const signal = new AbortController().signal;

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-copies-"));
    await importBusybox(testEnvironment(join(home, "store")));
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  /** Builds `lines` on busybox; `script` makes the context. */
  async function run(lines: readonly string[], script = "true"): Promise<readonly string[]> {
    const directory = join(home, `context-${(contexts += 1)}`);
    await mkdir(directory);
    execFileSync("sh", ["-ec", script], { cwd: directory });
    const dockerfile = join(directory, "Dockerfile");
    await mkdir(dirname(dockerfile), { recursive: true });
    await writeFile(dockerfile, [...lines, ""].join("\n"));
    const environment = testEnvironment(join(home, "store"), { workingDirectory: home });
    const said: string[] = [];
    await build(
      {
        context: directory,
        progress: (event) => {
          if (event.kind === "notice" && event.level === "warning") said.push(event.message);
        },
      },
      environment,
      signal,
    );
    return said;
  }

  async function failure(lines: readonly string[], script?: string): Promise<BuildError> {
    try {
      await run(lines, script);
    } catch (error) {
      if (error instanceof BuildError) return error;
      throw error;
    }
    throw new Error("the build succeeded");
  }

  test.each([
    {
      name: "the device of a whiteout in a context",
      script: "mkdir -p d/etc; mknod d/etc/passwd c 0 0",
      lines: ["FROM busybox", "COPY d /"],
      says: /"\/etc\/passwd".*0:0/,
    },
    {
      name: "the device of a whiteout in an archive",
      script: "mkdir -p d/etc; mknod d/etc/passwd c 0 0; tar -C d -cf a.tar .; rm -r d",
      lines: ["FROM busybox", "ADD a.tar /"],
      says: /"\/etc\/passwd".*0:0/,
    },
    {
      name: "a whiteout's name made by a command",
      lines: ["FROM busybox", "RUN mkdir -p /d && touch /d/.wh.x"],
      says: /"\/d\/\.wh\.x".*deleted/,
    },
    {
      name: "one copied out of a stage",
      lines: ["FROM busybox AS s", "RUN mkdir /d && touch /d/.wh.x", "FROM busybox", "COPY --from=s /d /d"],
      says: /"\/d\/\.wh\.x".*deleted/,
    },
    {
      name: "one that WORKDIR would make",
      lines: ["FROM busybox", "WORKDIR /d/.wh.x"],
      says: /"\/d\/\.wh\.x".*deleted/,
    },
    {
      name: "one among many small files",
      script: "mkdir d; for i in $(seq 600); do : > d/$i; done; : > d/.wh.x",
      lines: ["FROM busybox", "COPY d /d"],
      says: /"\/d\/\.wh\.x".*deleted/,
    },
  ])("$name is refused with its line", async ({ lines, script, says }) => {
    const error = await failure(lines, script);
    expect(error.code).toBe("image/reserved");
    expect(error.message).toMatch(says);
    expect(error.span?.start.line).toBe(lines.length);
  });

  test.each([
    { name: "a device in a tar", script: "mkdir t; mknod t/f c 0 0; tar -C t -cf root.tar .", source: "root.tar" },
    { name: "a device in a directory", script: "mkdir root; mknod root/f c 0 0", source: "root" },
    { name: "a name in a tar", script: "mkdir t; touch t/.wh.f; tar -C t -cf root.tar .", source: "root.tar" },
    { name: "a name in a directory", script: "mkdir root; touch root/.wh.f", source: "root" },
  ])("import refuses $name", async ({ script, source }) => {
    const directory = join(home, `context-${(contexts += 1)}`);
    await mkdir(directory);
    execFileSync("sh", ["-ec", script], { cwd: directory });
    const environment = testEnvironment(join(home, "store"), { workingDirectory: directory });
    await using engine = new Engine(environment, { progress: () => {} });
    const { platform } = environment;
    const imported = importImage(engine, { source, tags: [], changes: [], message: "", platform }, signal);
    await expect(imported).rejects.toMatchObject({ code: "image/reserved" });
  });

  test("a whiteout's name that is no part of the image is left alone", async () => {
    const said = await run(
      [
        "FROM busybox AS s",
        "RUN touch /.wh.x",
        "FROM busybox",
        "COPY --from=s /etc/passwd /p",
        "COPY --exclude=.wh.* d /d",
        "RUN touch /.wh.x && rm /.wh.x && ! test -e /d/.wh.y",
      ],
      "mkdir d; touch d/.wh.y d/a",
    );
    expect(said).toEqual([]);
  });

  describe("a pattern that matches nothing", () => {
    const script = "mkdir -p src/a1 other/d; touch src/a1/c other/x keep";

    test.each([
      { name: "below a directory", copies: ["COPY src/a*/b /o/"] },
      { name: "below a directory, beside other sources", copies: ["COPY src/*.x keep /o/"] },
      { name: "of ADD", copies: ["ADD src/*.x /o/"] },
      {
        name: "below a directory that something else is taken from, but not from there",
        copies: ["COPY other/*.x other/d/*.y /o/"],
      },
    ])("fails $name", async ({ copies }) => {
      const error = await failure(["FROM busybox", ...copies], script);
      expect(error).toMatchObject({ code: "solver/not-found", span: { start: { line: 2 } } });
      expect(error.message).toMatch(/nothing in "(?:src|other)" matches/);
    });

    test.each([
      {
        name: "at the root, with a word",
        copies: ["COPY *.x /o/"],
        says: [/Dockerfile:2: .*nothing in the context matches/],
      },
      { name: "at the root beside other sources", copies: ["COPY keep *.x /o/"], says: [] },
      { name: "at the root, further down", copies: ["COPY o*/b /o/"], says: [/Dockerfile:2: /] },
      {
        name: "where another instruction takes the directory",
        copies: ["COPY src/*.x keep /o/", "COPY src /s"],
        says: [],
      },
      { name: "where another one takes something out of it", copies: ["COPY src/*.x keep src/a*/c /o/"], says: [] },
      {
        name: "where a mount shows the context",
        copies: ["COPY src/*.x keep /o/", "RUN --mount=target=/m true"],
        says: [],
      },
      { name: "in a stage", copies: ["COPY keep /src/", "FROM busybox", "COPY --from=0 src/*.x /o/"], says: [] },
      { name: "where everything is left out", copies: ["COPY --exclude=**/c src/a1/* /o/"], says: [] },
    ])("is fine $name", async ({ copies, says }) => {
      const said = await run(["FROM busybox", ...copies], script);
      expect(said).toEqual(says.map((text) => expect.stringMatching(text) as string));
    });
  });

  test.each([
    { name: "two files to one name", copy: "COPY f g /x", says: ["/x"] },
    { name: "two files to the name of a file that is there", copy: "COPY f g /etc/passwd", says: ["/etc/passwd"] },
    { name: "what a wildcard finds to one name", copy: "COPY [fg] /x", says: ["/x"] },
    { name: "two files of one name to a directory", copy: "COPY f d/f /x/", says: ["/x/f"] },
    { name: "a here-document and a file", copy: "COPY <<E f /x\ntext\nE", says: ["/x"] },
    { name: "two files to a directory", copy: "COPY f g /tmp", says: [] },
    { name: "one file twice", copy: "COPY f d/../f /x", says: [] },
    { name: "two directories with a file of one name", copy: "COPY d e /x/", says: [] },
    { name: "a directory and a file", copy: "COPY d g /x/", says: [] },
  ])("$name: what is lost is told", async ({ copy, says }) => {
    const said = await run(["FROM busybox", copy], "mkdir d e; for f in f g d/f e/f; do echo $f > $f; done");
    expect(said).toEqual(
      says.map((path) => expect.stringMatching(`Dockerfile:2: .*several sources become "${path}"`) as string),
    );
  });

  test.each([
    { name: "a user", owner: "nosuch", says: ['no user "nosuch"'] },
    { name: "a group", owner: "0:nosuch", says: ['no group "nosuch"'] },
    { name: "both", owner: "nosuch:nowhere", says: ['no user "nosuch"', 'no group "nowhere"'] },
    { name: "a user name of digits that is no id", owner: "99999999999", says: ['no user "99999999999"'] },
    { name: "those that are there", owner: "root:root", says: [] },
    { name: "ids without an account", owner: "4321:4321", says: [] },
  ])("$name that --chown names and the image does not have is told", async ({ owner, says }) => {
    const flag = `--chown=${owner}`;
    const lines = ["FROM busybox", `COPY ${flag} f /x`, `ADD ${flag} <<E /y`, "text", "E", `COPY ${flag} d /many`];
    const said = await run(lines, "mkdir d; echo f > f; for i in $(seq 600); do echo $i > d/$i; done");
    expect(said).toEqual(
      [2, 3, 6].flatMap((line) => says.map((text) => expect.stringMatching(`Dockerfile:${line}: .*${text}`) as string)),
    );
  });

  test("--link leaves directories on its way as the layers below have them", async () => {
    const said = await run(
      [
        "FROM busybox AS base",
        "RUN mkdir -p /usr/local/bin /g && chmod 2775 /g && chown 7:33 /g && chmod 700 /usr && chmod 711 / && touch -d @1000 /usr",
        "FROM base",
        "COPY --link f /tmp/x/f",
        "COPY --link --chown=1000:1000 f /usr/local/bin/f",
        "COPY --link --chown=1000:1000 d /new/app/",
        "COPY --link f /g/in/f",
        "COPY --link d /tmp/",
        "RUN test $(stat -c %u:%g /tmp/x) = 0:0 && test $(stat -c %a:%u:%Y /usr) = 700:0:1000",
        "RUN test $(stat -c %u /usr/local) = 0 && test $(stat -c %u /usr/local/bin) = 0",
        "RUN test $(stat -c %u /usr/local/bin/f) = 1000 && test $(stat -c %u /new/app) = 1000 && test $(stat -c %u /new) = 1000",
        "RUN test $(stat -c %a:%u:%g /g) = 2775:7:33 && test $(stat -c %a:%g /g/in) = 2755:33 && test -f /tmp/e",
        "RUN test $(stat -c %a /) = 711",
      ],
      "mkdir d; touch f d/e",
    );
    expect(said).toEqual([]);
  });

  test.each([
    {
      name: "a link on the way",
      copy: "COPY --link f /lnk/f",
      says: /"\/lnk" is a link to "usr\/lib" in the layers below/,
    },
    { name: "a link among what is copied", copy: "COPY --link d /", says: /"\/lnk" is a link to "usr\/lib"/ },
    {
      name: "a directory that a file takes the place of",
      copy: "COPY --link f /usr/lib",
      says: /"\/usr\/lib" is a directory/,
    },
    {
      name: "a file that a directory takes the place of",
      copy: "COPY --link f /etc/passwd/f",
      says: /"\/etc\/passwd" is a file/,
    },
  ])("--link tells of $name", async ({ copy, says }) => {
    const lines = ["FROM busybox", "RUN mkdir -p /usr/lib && ln -s usr/lib /lnk && touch /usr/lib/x", copy];
    const said = await run(lines, "mkdir -p d/lnk; touch f d/lnk/y");
    expect(said).toEqual([expect.stringMatching(new RegExp(`Dockerfile:3: .*${says.source}`))]);
  });
});
