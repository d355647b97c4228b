import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { kiln, kilnBeside, missing, mustKiln, temporary } from "./harness.ts";

const why = missing();
if (why !== undefined) console.warn(`the tests of kept builds are skipped: ${why}`);

async function serve(answer: RequestListener): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

describe.skipIf(why !== undefined)("kept builds", { timeout: 60_000 }, () => {
  const HOSTILE = "</script><img src=x onerror=alert(1)>\u001b]0;x\u0007\u202e";

  test("a page of a hostile build is one private file without its markup; damaged records are passed over", () => {
    using folder = temporary();
    const at = (name: string): string => join(folder.path, name);
    mkdirSync(at("context"));
    writeFileSync(at("context/a"), "a");
    writeFileSync(
      at("context/Dockerfile"),
      `FROM scratch AS x\nLABEL a="${HOSTILE}"\nCOPY ${JSON.stringify(["a", `/${HOSTILE.slice(2)}`])}\n`,
    );
    const store = at("store");
    const named = ["--build-arg", `BUILDKIT_BUILD_NAME=${HOSTILE}`, at("context")];
    mustKiln(store, ["build", "-q", ...named]);
    writeFileSync(at("context/a"), "b");
    mustKiln(store, ["build", "-q", ...named]);
    const [newest] = mustKiln(store, ["builds", "ls", "-q"]).stdout.split("\n");
    const database = new DatabaseSync(join(store, "kiln.db"));
    const set = database.prepare("UPDATE facts SET value = ? WHERE kind = 'build' AND key <> ?");
    const bytes = new TextEncoder();
    expect(set.run(bytes.encode('{"version":1,"steps":[{"needs":[-1]}],"tags":7}'), newest ?? "").changes).toBe(1);
    database.close();
    mustKiln(store, ["builds", "open", "-o", at("page.html")]);
    const page = readFileSync(at("page.html"), "utf8");
    expect(page.match(/<\/script/gi)).toHaveLength(2);
    expect(page).not.toMatch(/<img|(?!\n)\p{Cc}|\u202e/iu);
    expect(page.length).toBeLessThan(100_000);
    const { stdout } = kiln(store, ["builds", "open"], { env: { TMPDIR: folder.path, DISPLAY: ":9" } });
    expect(statSync(stdout.trim()).mode & 0o777).toBe(0o600);
    expect(mustKiln(store, ["history", "builds", "ls", "-q"]).stdout).toBe(`${newest}\n`);
  });

  test("a build is sent to the collector that the environment names, also one that failed", async () => {
    using folder = temporary();
    writeFileSync(join(folder.path, "Dockerfile"), "FROM scratch AS good\nLABEL a=b\nFROM scratch\nCOPY missing /\n");
    const bodies: string[] = [];
    const { url, server } = await serve((request, response) => {
      let body = "";
      request.on("data", (piece: Buffer) => (body += piece.toString()));
      request.on("end", () => {
        bodies.push(body);
        response.end("{}");
      });
    });
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_SERVICE_NAME: "images" };
    const build = (...args: readonly string[]): ReturnType<typeof kilnBeside> =>
      kilnBeside(join(folder.path, "store"), ["build", ...args, folder.path], { env });
    const good = await build("--target", "good", "-t", "app:1");
    expect(good).toMatchObject({ status: 0, stderr: expect.not.stringContaining("WARNING") });
    expect((await build()).status).toBe(1);
    server.close();
    expect(bodies).toHaveLength(2);
    expect(bodies[0]).toContain('"stringValue":"app:1"');
    expect(bodies[1]).toContain('"error.type"');
    expect(bodies[1]).toContain('"stringValue":"images"');
  });

  test("a collector that never answers neither fails a build nor holds it for long", async () => {
    using folder = temporary();
    writeFileSync(join(folder.path, "Dockerfile"), "FROM scratch\nLABEL a=b\n");
    const { url, server } = await serve(() => undefined);
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_TIMEOUT: "300" };
    const { status, stderr } = await kilnBeside(join(folder.path, "store"), ["build", folder.path], { env });
    server.closeAllConnections();
    server.close();
    expect(status).toBe(0);
    expect(stderr).toContain("no answer in 300 ms");
  });
});
