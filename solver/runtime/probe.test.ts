import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { locateNative } from "../../lib/native/locate.ts";
import { readRights } from "./host.ts";
import type { ProbeContext } from "./probe.ts";
import { probeAll } from "./probe.ts";
import { cannotRun, RUNTIME_PATH } from "./testing.ts";

const reason =
  cannotRun() ??
  (process.env["KILN_TEST_RUNTIME"] === undefined
    ? undefined
    : "the program runs itself in an empty root, so it must be static");
if (reason !== undefined) console.warn(`skipping the probes: ${reason}`);

function context(change: Partial<ProbeContext> = {}): ProbeContext & Disposable {
  const directory = mkdtempSync(join(tmpdir(), "kiln-probe-test-"));
  return {
    runtimePath: RUNTIME_PATH,
    directory,
    overlayMarks: "trusted",
    arch: process.arch,
    uid: 0,
    gid: 0,
    user: "root",
    instance: `${process.pid}-probe`,
    rights: readRights(0),
    owners: "given",
    searchPath: [],
    native: locateNative(),
    ...change,
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

test.skipIf(reason !== undefined)(
  "every probe gives an answer, failures say what to do, and nothing is left",
  async () => {
    using probed = context();
    const { checks, causes, rung } = await probeAll(probed, AbortSignal.timeout(20_000));
    expect(checks.map(({ name }) => name)).toEqual([
      "RUN",
      "overlay",
      "COPY with owners",
      "unpack",
      "devices in layers",
      "ports below 1024",
      "ping",
      "chown in a RUN",
      "mknod in a RUN",
      "/proc in a RUN",
      "ids",
      "seccomp",
      "other platforms",
      "network none",
      "network sandbox",
      "limits",
    ]);
    expect(checks.filter(({ ok, fix }) => ok && fix !== undefined)).toEqual([]);
    expect(rung).toEqual({ kind: "namespaces", without: [], overlay: true });
    expect(causes).toEqual([]);
    expect(readdirSync(probed.directory)).toEqual([]);
  },
);

test.skipIf(reason !== undefined)("a probe that cannot work is a result, not an error", async () => {
  using probed = context({ runtimePath: "/no/such/kiln-runtime", arch: "riscv64" });
  const { checks } = await probeAll(probed, AbortSignal.timeout(20_000));
  expect(checks.find(({ name }) => name === "RUN")).toMatchObject({ ok: false });
  expect(checks.find(({ name }) => name === "seccomp")).toMatchObject({ ok: false, fix: "build on x86-64 or arm64" });
});
