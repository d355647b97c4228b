import { describe, expect, test } from "vitest";
import { kiln, missing, mustKiln } from "../e2e/harness.ts";
import { useFreshStore } from "../robust/fresh-store.ts";
import { type RunningKiln, startKiln, writeContext } from "../robust/kiln-process.ts";
import { remainsOf } from "./remains.ts";
import { SIZES } from "./sizes.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of load are skipped: ${why}`);

const { concurrent, rounds } = SIZES;

// Builds of several contexts share stages, so that a step of one is often being made, used and removed by others.
describe.skipIf(why !== undefined)("load on one store", { timeout: 120_000 * rounds }, () => {
  let store: string;
  let context: string;
  useFreshStore((fresh) => ({ store, context } = fresh));

  const write = (round: number): void => {
    writeContext(context, {
      Dockerfile: [
        "FROM busybox AS shared",
        `RUN echo round ${round} > /round && mkdir /many && for n in $(seq 200); do echo $n > /many/$n; done`,
        "FROM busybox AS files",
        "COPY files/ /files/",
        "RUN cat /files/* > /sum",
        "FROM shared",
        "ARG N",
        "RUN --mount=type=cache,target=/cache echo $N >> /cache/builds; echo $N > /own",
        "COPY --from=files /sum /sum",
        "RUN cat /round /own > /all",
        "",
      ].join("\n"),
      ...Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`files/${n}`, `${n} of ${round}\n`])),
    });
  };

  test(`${rounds} x ${concurrent} builds at once, with prune and rmi beside`, async () => {
    const pids: number[] = [];
    const start = (...args: string[]): RunningKiln => {
      const running = startKiln(store, args);
      pids.push(running.child.pid ?? 0);
      return running;
    };
    for (let round = 0; round < rounds; round += 1) {
      write(round);
      const built = new AbortController();
      const builds = Promise.all(
        Array.from({ length: concurrent }, (_, n) => {
          // Two of each, so that steps are shared while they run.
          const own = `N=${round}.${n >> 1}`;
          return start("build", "--progress=plain", "--build-arg", own, "-t", `app:${n}`, context).ended;
        }),
      ).finally(() => built.abort());
      const cleaning = (async (): Promise<readonly string[]> => {
        const said: string[] = [];
        for (let turn = 0; !built.signal.aborted; turn += 1) {
          const [kind, command] =
            turn % 3 === 0
              ? (["prune", ["prune", "--all"]] as const)
              : turn % 3 === 1
                ? (["rmi", ["rmi", `app:${turn % concurrent}`]] as const)
                : (["prune", ["prune", "--keep-storage", "2m"]] as const);
          // One after another: two prunes at once are not the point.
          // oxlint-disable-next-line no-await-in-loop
          const { status, stderr } = await start(...command).ended;
          // An image may not be there yet.
          if (status !== 0 && kind !== "rmi") said.push(stderr);
        }
        return said;
      })();
      // oxlint-disable-next-line no-await-in-loop
      const outcomes = await builds;
      expect(outcomes.filter(({ status }) => status !== 0).map(({ stderr }) => stderr)).toEqual([]);
      // oxlint-disable-next-line no-await-in-loop
      expect(await cleaning).toEqual([]);
      expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
      for (const n of [0, concurrent - 1]) {
        mustKiln(store, ["build", "-q", "--build-arg", `N=${round}.${n >> 1}`, "-t", `app:${n}`, context]);
        const { stdout } = mustKiln(store, ["run", `app:${n}`, "sh", "-c", "cat /all; wc -l < /sum; ls /many | wc -l"]);
        expect(stdout).toBe(`round ${round}\n${round}.${n >> 1}\n30\n200\n`);
      }
    }
    mustKiln(store, ["prune", "--all"]);
    expect(kiln(store, ["fsck"]).stdout).toContain("0 problems, 0 files that nothing names");
    expect(remainsOf(store, pids)).toEqual([]);
  });
});
