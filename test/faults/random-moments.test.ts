import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, startRegistry, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "../robust/kiln-process.ts";
import { chance, pick } from "./chance.ts";
import { FAULTS, startVictim } from "./faults.ts";
import { leftBehind } from "./left-behind.ts";
import { OPERATIONS, type Places } from "./operations.ts";

const why = missing("busybox", "docker-registry");
if (why !== undefined) console.warn(`tests of faults at random moments are skipped: ${why}`);

/** Number of disturbed commands, and the seed that all chance follows from; the variables override them. */
const ROUNDS = Number(process.env["KILN_TEST_FAULTS"] ?? 20);
const SEED = Number(process.env["KILN_TEST_SEED"] ?? 1);

describe.skipIf(why !== undefined)("commands that are disturbed", { timeout: 60_000 + ROUNDS * 20_000 }, () => {
  const folder = temporary();
  const temporaries = join(folder.path, "tmp");
  let registry: Awaited<ReturnType<typeof startRegistry>>;
  let places: Places;

  beforeAll(async () => {
    registry = await startRegistry(folder.path);
    mkdirSync(temporaries);
    const stores = { store: join(folder.path, "store"), calm: join(folder.path, "calm") };
    importBusybox(stores.calm, folder.path);
    mustKiln(stores.calm, ["save", "-o", join(folder.path, "busybox.tar"), "busybox"]);
    mustKiln(stores.store, ["load", "-i", join(folder.path, "busybox.tar")]);
    const contexts = Array.from({ length: 4 }, (_, n) => {
      const path = contextOf(join(folder.path, `context-${n}`), n);
      const id = mustKiln(stores.calm, ["build", "-q", "--reproducible", "-t", "app", path]).stdout.trim();
      mustKiln(stores.calm, ["tag", "app", `${registry.host}/app:${n}`]);
      mustKiln(stores.calm, ["push", `${registry.host}/app:${n}`]);
      return { path, id };
    });
    places = { ...stores, folder: folder.path, registry: registry.host, contexts };
  }, 120_000);

  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test(`${ROUNDS} times, at moments that follow from seed ${SEED}, leave a whole store and nothing else`, async () => {
    const random = chance(SEED);
    const names = Object.keys(OPERATIONS);
    const durations = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const name = names[round % names.length] ?? "";
      const operation = OPERATIONS[name];
      const [fault, disturb] = pick(random, Object.entries(FAULTS));
      if (operation === undefined) throw new Error(name);
      operation.before(places, round);
      const args = operation.args(places, round);
      const victim = startVictim(places.store, args, temporaries);
      // The moments cover the whole command and a little more. The pause is the point: it waits for no event.
      const atMs = random() * 1.1 * (durations.get(name) ?? 400);
      await Promise.race([pause(atMs), victim.ended]);
      await disturb(victim, random);
      const { said } = await victim.ended;
      const told = `round ${round}: ${name}, ${fault} after ${Math.round(atMs)} ms\n${said}`;
      expect(said, told).not.toContain("this is a bug in kiln");

      const checked = kiln(places.store, ["fsck"]);
      expect(checked.stdout + checked.stderr, told).toContain(" 0 problems");
      expect(checked.status, told).toBe(0);
      const startMs = performance.now();
      const again = kiln(places.store, args);
      durations.set(name, performance.now() - startMs);
      expect(again.status, told + again.stderr).toBe(0);
      operation.after(places, round);
      expect(leftBehind(places.store, temporaries), told).toEqual([]);
      if (round % names.length === names.length - 1) {
        mustKiln(places.store, ["prune", "--all"]);
        expect(kiln(places.store, ["fsck"]).stdout, told).toContain("0 problems, 0 files that nothing names");
      }
    }
  });
});

/** Makes a context with all kinds of work; every one gives another image. */
function contextOf(path: string, n: number): string {
  return writeContext(path, {
    Dockerfile: [
      "FROM busybox AS work",
      "COPY files/ /files/",
      "RUN for i in 1 2 3; do cat /files/* >> /made; done",
      "RUN --mount=type=cache,target=/cache cat /files/round > /cache/round && cp /cache/round /from-cache",
      "FROM busybox",
      "COPY --from=work /made /from-cache /",
      "COPY files/ /files/",
      "RUN mkdir /d && cp -r /files /d/ && rm /d/files/1 && ln -s files/2 /d/link",
      "",
    ].join("\n"),
    "files/round": `round ${n}\n`,
    ...Object.fromEntries(
      Array.from({ length: 120 }, (_, i) => [`files/${i}`, `file ${i} of ${n}\n`.repeat(300 + 20 * i)]),
    ),
  });
}
