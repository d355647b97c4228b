import { execFileSync } from "node:child_process";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cannotRun, testEnvironment } from "../../../test/support/environment.ts";
import { parseOutput } from "../../export/parse-output.ts";
import { build } from "../build.ts";

if (cannotRun !== undefined) console.warn(`skipped: contexts from elsewhere: ${cannotRun}`);

const GIT = ["-c", "user.name=kiln", "-c", "user.email=kiln@example.org", "-c", "init.defaultBranch=main"];

describe.skipIf(cannotRun !== undefined)("a Dockerfile in a context from elsewhere", () => {
  let home = "";
  let url = "";
  let trees = 0;
  const server = createServer((request, response) => {
    const path = join(home, new URL(request.url ?? "/", "http://x").pathname);
    if (existsSync(path))
      createReadStream(path)
        .on("error", () => response.destroy())
        .pipe(response);
    else response.writeHead(404).end();
  });

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-elsewhere-"));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.close();
    await rm(home, { recursive: true, force: true });
  });

  /** Makes each file a Dockerfile that leaves its own name in the image. */
  async function tree(files: readonly string[]): Promise<string> {
    const directory = join(home, `tree-${(trees += 1)}`);
    for (const file of files) {
      await mkdir(dirname(join(directory, file)), { recursive: true });
      await writeFile(join(directory, file), `FROM scratch\nCOPY <<E /found\n${file}\nE\n`);
    }
    return directory;
  }

  const places: Readonly<Record<string, (directory: string) => { readonly context: string; readonly input?: Buffer }>> =
    {
      "a tar on standard input": (directory) => ({
        context: "-",
        input: execFileSync("tar", ["-c", "-C", directory, "."]),
      }),
      "a tar behind a URL": (directory) => {
        execFileSync("tar", ["-czf", `${directory}.tgz`, "-C", directory, "."]);
        return { context: `${url}/${directory.slice(home.length + 1)}.tgz` };
      },
      "a repository": (directory) => {
        const git = (...args: string[]): Buffer => execFileSync("git", [...GIT, "-C", directory, ...args]);
        git("init", "-q");
        git("add", ".");
        git("commit", "-qm", "all");
        git("update-server-info");
        return { context: `${url}/${directory.slice(home.length + 1)}/.git#main` };
      },
    };

  const cases = [
    { files: ["dockerfile"], given: undefined, found: "dockerfile" },
    { files: ["Containerfile"], given: undefined, found: "Containerfile" },
    { files: ["Containerfile", "dockerfile"], given: undefined, found: "dockerfile" },
    { files: ["Containerfile", "Dockerfile"], given: undefined, found: "Dockerfile" },
    { files: ["Containerfile", "d/dockerfile"], given: "d/Dockerfile", found: "d/dockerfile" },
  ];

  describe.each(Object.entries(places))("%s", (_name, place) => {
    test.each(cases)("$files with -f $given: $found", async ({ files, given, found }) => {
      const { context, input } = place(await tree(files));
      const destination = join(home, `out-${trees}`);
      await build(
        {
          context,
          dockerfile: given,
          outputs: [parseOutput(new Map(Object.entries({ type: "local", dest: destination })))],
        },
        testEnvironment(join(home, "store"), input === undefined ? {} : { input }),
        new AbortController().signal,
      );
      expect(readFileSync(join(destination, "found"), "utf8")).toBe(`${found}\n`);
    });

    test("a name that is in no tree is told as it was given", async () => {
      const { context, input } = place(await tree(["Containerfile"]));
      const failing = build(
        { context, dockerfile: "Dockerfile" },
        testEnvironment(join(home, "store"), input === undefined ? {} : { input }),
        new AbortController().signal,
      );
      await expect(failing).rejects.toThrow("open Dockerfile: no such file");
    });
  });
});
