import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of KILN_DEBUG are skipped: ${why}`);

const SECRET = "correct-horse-battery-staple";

describe.skipIf(why !== undefined)("what a build tells its developers", { timeout: 60_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    mkdirSync(context);
    writeFileSync(join(folder.path, "secret"), SECRET);
    writeFileSync(
      join(context, "Dockerfile"),
      "FROM base\nARG PROXY_PASSWORD\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=TOKEN test -n $TOKEN && echo built\n",
    );
  });
  afterAll(() => folder[Symbol.dispose]());

  const build = (areas: string) => {
    const secrets = ["--secret", `id=s,src=${folder.path}/secret`, "--build-arg", `PROXY_PASSWORD=${SECRET}`];
    const env = { KILN_DEBUG: areas, HTTP_PROXY: `http://me:${SECRET}@127.0.0.1:9` };
    return kiln(store, ["build", "--no-cache", "--progress", "plain", ...secrets, context], { env });
  };

  test("KILN_DEBUG=runtime shows the plan of each step, and no secret", () => {
    const { status, stderr } = build("runtime");
    expect(status).toBe(0);
    expect(stderr).toMatch(/^ *\d+\.\d ms runtime: plan:\n {4}scratch .*\n {4}namespace pid\n/m);
    expect(stderr).toContain('    arg "test -n $TOKEN && echo built"\n');
    expect(stderr).toContain("    env TOKEN=...\n");
    expect(stderr).not.toContain(SECRET);
  });

  test("KILN_DEBUG=* tells no secret either", () => {
    const { status, stderr } = build("*");
    expect(status).toBe(0);
    expect(stderr).not.toContain(SECRET);
  });
});
