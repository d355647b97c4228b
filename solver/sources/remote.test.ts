import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HttpOp } from "../graph/op.ts";
import type { RemoteSource } from "../ports.ts";
import { vertex } from "../graph/vertex.ts";
import { solve } from "../solve.ts";
import { Workbench } from "../testing/workbench.ts";

const never = new AbortController().signal;

test.each([
  { cache: "use", again: false },
  { cache: "skip", again: true },
] as const)(
  "a URL is asked for its bytes again: $again, where the step that takes it has the cache: $cache",
  async ({ cache, again }) => {
    await using bench = new Workbench();
    const op: HttpOp = {
      kind: "http",
      url: "http://example.test/file",
      filename: "file",
      checksum: undefined,
      mode: 0o600,
      uid: 0,
      gid: 0,
    };
    const asked: (boolean | undefined)[] = [];
    const http: RemoteSource<HttpOp> = {
      find: async (question) => {
        asked.push(question.again);
        return {
          parts: [{ name: "content", value: "one" }],
          writeTo: async (directory) => writeFileSync(join(directory, "file"), "one"),
          date: async () => undefined,
        };
      },
    };
    const target = bench.copy(bench.image("one"), "/file", "/got", { from: vertex(op, []), cache });
    using deps = bench.deps({ http });
    await solve(bench.graph(target), deps, bench.options(), never);
    expect(asked).toEqual([again]);
  },
);

test("what a URL holds is asked in every build, and written when it is new", async () => {
  await using bench = new Workbench();
  let content = "one";
  let written = 0;
  const op: HttpOp = {
    kind: "http",
    url: "http://example.test/file",
    filename: "file",
    checksum: undefined,
    mode: 0o600,
    uid: 0,
    gid: 0,
  };
  const http = {
    find: async () => ({
      parts: [{ name: "content", value: content }],
      async writeTo(directory: string) {
        written += 1;
        writeFileSync(join(directory, "file"), content);
      },
      date: async () => undefined,
    }),
  };
  const target = bench.copy(bench.image("one"), "/file", "/got", { from: vertex(op, []) });
  const build = async (): Promise<string> => {
    using deps = bench.deps({ http });
    const result = await solve(bench.graph(target), deps, bench.options(), never);
    const top = result.targets[0]?.layers.at(-1)?.snapshot ?? "";
    return readFileSync(join(bench.store.layout.snapshots, top, "got"), "utf8");
  };
  expect(await build()).toBe("one");
  expect(await build()).toBe("one");
  expect(written).toBe(1);
  content = "two";
  expect(await build()).toBe("two");
  expect(written).toBe(2);
});
