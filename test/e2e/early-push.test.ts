import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestRegistry, type TestRegistry } from "../support/registry.ts";
import { busyboxRoot, kilnBeside, missing, mustKiln, type Outcome, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of layers that are pushed early are skipped: ${why}`);

/** Makes a layer that no compression makes small. */
const noise = (file: string): string => `RUN head -c 3000000 /dev/urandom > /${file}`;

describe.skipIf(why !== undefined)("layers of a build that is pushed", () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const context = join(folder.path, "context");
  let registry: TestRegistry;
  /** Answers 200 once the condition of a test holds: steps wait for it. */
  let isReady: () => boolean = () => false;
  const server = createServer((_request, response) => void response.writeHead(isReady() ? 200 : 404).end());
  const until = (): string => {
    const { port } = server.address() as AddressInfo;
    return `for i in $(seq 200); do wget -q -O /dev/null http://127.0.0.1:${port}/ && break; sleep 0.1; done; wget -q -O /dev/null http://127.0.0.1:${port}/`;
  };
  const build = (lines: readonly string[], ...flags: readonly string[]): Promise<Outcome> => {
    writeFileSync(join(context, "Dockerfile"), ["FROM base", ...lines].join("\n"));
    const all = ["--push", "-t", `${registry.host}/team/app:1`, "--network", "host", "--progress", "plain", ...flags];
    return kilnBeside(store, ["build", ...all, context]);
  };
  const sentBlobs = (): number => registry.requests.filter(({ method }) => method === "PUT").length;

  beforeAll(async () => {
    mkdirSync(context);
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
  });
  beforeEach(async () => {
    isReady = () => false;
    registry = await startTestRegistry();
    return () => registry[Symbol.asyncDispose]();
  });
  afterAll(() => {
    server.close();
    folder[Symbol.dispose]();
  });

  test("are there before the next step has ended, made or cached", async () => {
    isReady = () => sentBlobs() > 0;
    const lines = [noise("first"), `RUN ${until()}`];
    const made = await build(lines);
    expect(made.stderr).not.toContain("ERROR");
    expect([made.status, registry.manifests.has("team/app:1")]).toEqual([0, true]);
    await registry[Symbol.asyncDispose]();
    registry = await startTestRegistry();
    const cached = await build([noise("first"), `RUN : again; ${until()}`]);
    expect([cached.status, registry.manifests.has("team/app:1")]).toEqual([0, true]);
  });

  test("are only those of the image", async () => {
    const lines = [noise("other"), "FROM base", noise("own"), "COPY --from=0 /etc/passwd /copied"];
    const outcome = await build(lines, "--no-cache");
    expect(outcome.status).toBe(0);
    const manifest = registry.manifests.get("team/app:1");
    const { config, layers } = JSON.parse(manifest?.bytes.toString() ?? "") as {
      readonly config: { readonly digest: string };
      readonly layers: readonly { readonly digest: string }[];
    };
    expect([...registry.blobs.keys()].toSorted()).toEqual([config, ...layers].map(({ digest }) => digest).toSorted());
  });

  test("get no name when the build fails, and an upload that hangs ends with it", async () => {
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "silence" } });
    isReady = () => registry.requests.some(({ method }) => method === "PATCH");
    const outcome = await build([noise("lost"), `RUN ${until()}; exit 7`], "--no-cache");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain("exit code: 7");
    expect([registry.manifests.size, registry.blobs.size]).toEqual([0, 0]);
    expect(readdirSync(join(store, "blobs")).filter((name) => name.startsWith("new-"))).toEqual([]);
    expect(mustKiln(store, ["fsck"]).status).toBe(0);
  });

  test("are sent at the end when that fails before", async () => {
    registry.fail({ method: "PATCH", path: /uploads/, kind: { kind: "status", status: 403 }, times: 1 });
    registry.fail({ method: "PUT", path: /uploads/, kind: { kind: "status", status: 403 }, times: 1 });
    const outcome = await build([noise("twice"), noise("thrice")], "--no-cache");
    expect(outcome.status).toBe(0);
    expect(registry.manifests.has("team/app:1")).toBe(true);
  });
});
