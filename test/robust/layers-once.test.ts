import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { kiln, missing, mustKiln, startRegistry, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox", "docker-registry");
if (why !== undefined) console.warn(`tests of layers that are kept once are skipped: ${why}`);

/** Bytes of a layer; smaller blobs are documents. */
const LAYER_BYTES = 500_000;

describe.skipIf(why !== undefined)("a store that keeps no compressed layers", { timeout: 120_000 }, () => {
  const folder = temporary();
  const environment = { KILN_KEEP_BLOBS: "false" };
  const [here, there] = [join(folder.path, "here"), join(folder.path, "there")];
  let registry: Awaited<ReturnType<typeof startRegistry>>;

  beforeAll(async () => {
    registry = await startRegistry(folder.path);
    importBusybox(here, folder.path);
    const context = writeContext(join(folder.path, "context"), {
      Dockerfile: "FROM busybox\nCOPY noise /noise\nRUN cat /noise /noise > /twice\n",
      noise: Array.from({ length: 60_000 }, (_, n) => Math.imul(n, 2_654_435_761).toString(36)).join("\n"),
    });
    mustKiln(here, ["build", "-q", "--push", "-t", `${registry.host}/app:1`, context], { env: environment });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const layers = (store: string): readonly string[] => {
    const blobs = join(store, "blobs/sha256");
    return readdirSync(blobs).filter((name) => statSync(join(blobs, name)).size > LAYER_BYTES);
  };

  test("has none after a build with a push, and pushes and saves all the same", () => {
    expect(layers(here)).toEqual([]);
    mustKiln(here, ["tag", `${registry.host}/app:1`, `${registry.host}/other:1`]);
    mustKiln(here, ["push", `${registry.host}/other:1`], { env: environment });
    mustKiln(here, ["save", "-o", join(folder.path, "saved.tar"), `${registry.host}/app:1`], { env: environment });
    expect(layers(here)).toEqual([]);
  });

  test("has none after a pull, runs what it pulled, and asks the registry when bytes are needed", () => {
    const name = `${registry.host}/app:1`;
    mustKiln(there, ["pull", "-q", name], { env: environment });
    expect(layers(there)).toEqual([]);
    expect(mustKiln(there, ["run", name, "wc", "-c", "/twice"], { env: environment }).stdout).toMatch(/^\d{6,} /);
    mustKiln(there, ["save", "-o", join(folder.path, "pulled.tar"), name], { env: environment });
    expect(layers(there)).toEqual([]);
    expect(mustKiln(there, ["fsck"]).stdout).toContain(" 0 problems");
  });

  test("keeps a layer of which nobody else has the bytes", () => {
    const store = join(folder.path, "loaded");
    mustKiln(store, ["load", "-q", "-i", join(folder.path, "saved.tar")], { env: environment });
    const before = layers(store);
    expect(before.length).toBeGreaterThan(0);
    const context = writeContext(join(folder.path, "second"), {
      Dockerfile: `FROM ${registry.host}/app:1\nRUN true\n`,
    });
    mustKiln(store, ["build", "-q", context], { env: environment });
    expect(layers(store)).toEqual(before);
  });

  test("is asked for by a word that says yes or no", () => {
    const { status, stderr } = kiln(here, ["images"], { env: { KILN_KEEP_BLOBS: "some" } });
    expect(status).toBe(125);
    expect(stderr).toContain("KILN_KEEP_BLOBS=some: it is neither true nor false");
  });
});
