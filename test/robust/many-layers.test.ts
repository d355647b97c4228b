import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, type Outcome, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of stacks of many layers are skipped: ${why}`);

/** More than the 500 directories that overlayfs takes. */
const LAYERS = 600;

describe.skipIf(why !== undefined)("a stack of 600 layers", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");
  const build = (...lines: readonly string[]): Outcome => {
    const steps = Array.from({ length: LAYERS }, (_, n) => `WORKDIR /w${n % 300}/x${n}`);
    writeContext(context, {
      Dockerfile: ["FROM busybox", "COPY f /f0", ...steps, ...lines, ""].join("\n"),
      f: "first\n",
    });
    return kiln(store, ["build", "--progress", "plain", "-o", "type=cacheonly", context]);
  };

  beforeAll(() => importBusybox(store, folder.path));
  afterAll(() => folder[Symbol.dispose]());

  test("is seen whole and written to by a command, and by one after a collection", () => {
    const seen = build("RUN echo $(ls -d /w*/x* | wc -l) $(cat /f0) && rm -r /w0 /f0 && echo new > /w1/x1/new");
    expect(seen.stderr).toContain(`${LAYERS} first`);
    expect(seen.status).toBe(0);
    expect(kiln(store, ["prune", "--keep-storage", "100g"]).status).toBe(0);
    const again = build(
      "RUN echo $(ls -d /w*/x* | wc -l) $(cat /f0) && rm -r /w0 /f0 && echo new > /w1/x1/new",
      "RUN echo now $(ls -d /w*/x* | wc -l) $(cat /w1/x1/new) && ! test -e /f0 && ! test -e /w0",
    );
    expect(again.stderr).toContain(`now ${LAYERS - 2} new`);
    expect(again.status).toBe(0);
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
  });

  test("can be copied from", () => {
    const copied = build("COPY --from=busybox /bin/busybox /bin/again", "RUN cmp /bin/busybox /bin/again && cat /f0");
    expect(copied.status).toBe(0);
  });
});
