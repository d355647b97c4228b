import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, temporary } from "../e2e/harness.ts";
import { importBusybox, startKiln, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of killed builds are skipped: ${why}`);

/** Number of moments at which a build is killed; the variable overrides it. */
const MOMENTS = Number(process.env["KILN_TEST_KILLS"] ?? 25);

describe.skipIf(why !== undefined)("a build that is killed", { timeout: 60_000 + MOMENTS * 10_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    importBusybox(store, folder.path);
    const many = Array.from({ length: 520 }, (_, n) => [`many/${n}`, `file ${n}\n`]);
    writeContext(context, Object.fromEntries(many));
  });
  afterAll(() => folder[Symbol.dispose]());

  /**
   * Changes a context with all kinds of work: copies into files and into a tar, commands, a seeded cache mount, a file
   * from another stage.
   */
  function change(round: number): void {
    writeContext(context, {
      Dockerfile: [
        "FROM scratch AS seed",
        "COPY files/ /files/",
        "FROM busybox AS work",
        "COPY files/ /files/",
        'RUN for n in 1 2 3 4 5 6 7 8 9; do cat /files/* > "/made-$n"; done',
        "RUN --mount=type=cache,target=/cache,from=seed,source=/files ls /cache > /from-cache",
        "RUN cat /files/round > /twice && cat /files/round >> /twice",
        "FROM busybox",
        "COPY --from=work /made-1 /made-9 /twice /out/",
        "RUN cat /out/* > /all",
        "COPY many/ /many/",
        "",
      ].join("\n"),
      "files/round": `round ${round}\n`,
      "many/round": `round ${round}\n`,
      ...Object.fromEntries(
        Array.from({ length: 30 }, (_, n) => [`files/${n}`, `file ${n} of ${round}\n`.repeat(500)]),
      ),
    });
  }

  /** Measures the milliseconds of a whole build. */
  function duration(): number {
    change(-1);
    const startMs = performance.now();
    mustKiln(store, ["build", "-q", "-t", "app", context]);
    return performance.now() - startMs;
  }

  test("leaves files that the next build to make something deletes, while those of a running one stay", async () => {
    const step = (text: string): string =>
      writeContext(join(folder.path, text), { Dockerfile: `FROM busybox\nRUN echo ${text}-$((1+1)) && sleep 100\n` });
    const inTheMaking = (): string[] =>
      readdirSync(join(store, "snapshots")).filter((name) => /^(?:active|removed)-/.test(name));
    const killed = startKiln(store, ["build", "--progress", "plain", step("killed")]);
    await killed.said("killed-2");
    killed.child.kill("SIGKILL");
    await killed.ended;
    expect(inTheMaking()).toHaveLength(1);
    const running = startKiln(store, ["build", "--progress", "plain", step("running")]);
    await running.said("running-2");
    writeContext(join(folder.path, "quick"), { Dockerfile: "FROM busybox\nRUN echo quick\n" });
    mustKiln(store, ["build", "-q", join(folder.path, "quick")]);
    expect(inTheMaking()).toHaveLength(1);
    running.child.kill("SIGTERM");
    await running.ended;
    expect(inTheMaking()).toEqual([]);
  });

  test(`at ${MOMENTS} moments leaves a store that the next build and fsck find whole`, async () => {
    const wholeMs = duration();
    for (let round = 0; round < MOMENTS; round += 1) {
      change(round);
      const build = startKiln(store, ["build", "-q", "-t", "app", context]);
      // The moments cover the whole build and a little more. The pause is the point of the test: it waits for no event.
      await pause(((round + 0.5) / MOMENTS) * wholeMs * 1.1);
      build.child.kill("SIGKILL");
      await build.ended;

      const checked = kiln(store, ["fsck"]);
      expect(checked, `fsck after round ${round}`).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(" 0 problems"),
      });
      const next = kiln(store, ["build", "--progress", "plain", "-t", "app", context]);
      expect(next.stderr, `the build after round ${round}`).not.toMatch(/ERROR|error\[/);
      expect(next.status).toBe(0);
      const { stdout } = mustKiln(store, [
        "run",
        "app",
        "sh",
        "-c",
        "cat /out/twice /many/round; wc -c < /out/made-1; cmp /out/made-1 /out/made-9",
      ]);
      const line = `round ${round}\n`;
      const bytes =
        line.length +
        Array.from({ length: 30 }, (_, n) => `file ${n} of ${round}\n`.length * 500).reduce((a, b) => a + b, 0);
      expect(stdout).toBe(`${line}${line}${line}${bytes}\n`);
      // fsck reads the whole store. Without this prune, later rounds would mostly wait for it.
      if (round % 10 === 9) mustKiln(store, ["prune", "--all"]);
    }
    // The killed builds left only garbage, which prune deletes.
    mustKiln(store, ["prune", "--all"]);
    const after = kiln(store, ["fsck"]);
    expect(after.stdout).toContain("0 problems, 0 files that nothing names");
    expect(mustKiln(store, ["run", "app", "cat", "/out/twice"]).stdout).toContain(`round ${MOMENTS - 1}`);
  });
});
