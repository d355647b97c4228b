import { spawnSync } from "node:child_process";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../test/support/environment.ts";
import { build } from "./build.ts";
import { Engine } from "./engine.ts";

if (cannotRun !== undefined) console.warn(`skipped: source dates: ${cannotRun}`);

const DATED = "Sat, 03 Feb 2001 04:05:06 GMT";
const DATED_CREATED = "2001-02-03T04:05:06Z";
const DOCKERFILE = "FROM scratch\nCOPY Dockerfile /\n";

describe.skipIf(cannotRun !== undefined)("SOURCE_DATE_EPOCH that names a source", () => {
  let home = "";
  let url = "";
  const server = createServer((request, response) => {
    if (request.url === "/dated.tar") response.setHeader("last-modified", DATED);
    if (request.url === "/text") response.end("text");
    else createReadStream(join(home, "context.tar")).pipe(response);
  });

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-date-"));
    const repository = join(home, "repository");
    await mkdir(repository);
    await writeFile(join(repository, "Dockerfile"), DOCKERFILE);
    await utimes(join(repository, "Dockerfile"), 1_000_000_000, 1_000_000_000);
    spawnSync("tar", ["-cf", join(home, "context.tar"), "-C", repository, "Dockerfile"]);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.close();
    await rm(home, { recursive: true, force: true });
  });

  const created = async (
    context: string,
    epoch: string,
    dockerfile?: string,
    contexts: Readonly<Record<string, string>> = { named: `${url}/dated.tar` },
  ): Promise<string | undefined> => {
    const environment = testEnvironment(join(home, "store"), { input: dockerfile ?? "" });
    const result = await build(
      {
        context,
        dockerfile: dockerfile === undefined ? undefined : "-",
        buildArgs: { SOURCE_DATE_EPOCH: epoch },
        contexts,
        tags: ["dated"],
      },
      environment,
      new AbortController().signal,
    );
    await using engine = new Engine(environment, { progress: () => {} });
    const found = engine.store.images.find(result.imageId ?? "");
    return found.kind === "image" ? found.image.config.created : undefined;
  };

  test("a context by URL has the server's date", async () => {
    expect(await created(`${url}/dated.tar`, "context")).toBe(DATED_CREATED);
  });

  test("an archive without one has that of its newest file", async () => {
    expect(await created(`${url}/undated.tar`, "context")).toBe("2001-09-09T01:46:40Z");
  });

  test("a named context", async () => {
    expect(await created(`${url}/undated.tar`, "named")).toBe(DATED_CREATED);
  });

  test("a stage that is one remote ADD", async () => {
    const dockerfile = `FROM scratch AS source\nADD ${url}/dated.tar /\nFROM scratch\nLABEL a=b\n`;
    await mkdir(join(home, "empty"), { recursive: true });
    expect(await created(join(home, "empty"), "source", dockerfile)).toBe(DATED_CREATED);
  });

  test("a named context and a stage that are archives without a date have that of their newest file", async () => {
    const undated = `${url}/undated.tar`;
    expect(await created(undated, "named", undefined, { named: undated })).toBe("2001-09-09T01:46:40Z");
    const dockerfile = `FROM scratch AS source\nADD ${undated} /\nFROM scratch\nLABEL a=b\n`;
    await mkdir(join(home, "empty"), { recursive: true });
    expect(await created(join(home, "empty"), "Source", dockerfile)).toBe("2001-09-09T01:46:40Z");
  });

  test("what is no archive and has no date leaves the time of the build", async () => {
    const dockerfile = `FROM scratch AS source\nADD ${url}/text /\nFROM scratch\nCOPY --from=source text /\n`;
    await mkdir(join(home, "empty"), { recursive: true });
    const time = await created(join(home, "empty"), "source", dockerfile);
    expect(Date.parse(time ?? "")).toBeGreaterThan(1_700_000_000_000);
  });

  test("a directory has no date: the time of the build", async () => {
    expect(Date.parse((await created(join(home, "repository"), "context")) ?? "")).toBeGreaterThan(1_700_000_000_000);
  });
});
