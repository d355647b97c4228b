import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { measureLayer } from "../../../lib/tar/measure.ts";
import { LocalSource } from "../../sources/local/local-source.ts";
import { select, type Selection } from "../../select/select.ts";
import { copySelector } from "../../select/selector.ts";
import type { CopyAction } from "../../graph/op.ts";
import { runFileOp, type Found } from "./run-file-op.ts";
import { copyAction, FileBench, SKIP_UNLESS_ROOT } from "./testing.ts";

const { signal } = new AbortController();

/** Copies what was selected after `change`, and measures the layer. */
async function copy(
  bench: FileBench,
  name: string,
  use: (selection: Selection) => Found,
  { change, action = copyAction("src", "/app/") }: { change?: () => void; action?: CopyAction } = {},
): Promise<string> {
  const { native } = bench;
  const index = { load: () => undefined, save: () => {} };
  using local = new LocalSource({ native, directory: bench.context, index, nowNs: () => 0n });
  const view = local.view([]);
  const selection = await select(view, copySelector(action), signal);
  change?.();
  const upper = join(bench.root, name);
  mkdirSync(upper);
  await runFileOp(
    { kind: "file", base: "input", actions: [action] },
    { directories: [upper], marks: "trusted", source: () => view, selected: () => use(selection) },
    { native },
    signal,
  );
  return (await measureLayer(native, { directory: upper, marks: "trusted" }, signal)).diffId;
}

const fromSource = ({ matches }: Selection): Found => ({ matches });
const fromMemory = (selection: Selection): Found => selection;

describe.skipIf(SKIP_UNLESS_ROOT)(`files with their content in memory (${SKIP_UNLESS_ROOT || "root"})`, () => {
  test.each([
    { name: "small and large ones", context: ["f src/a", "f src/void =", `f src/large =${"x".repeat(400_000)}`] },
    { name: "modes and owners", context: ["f src/a 4755", "f src/b 600", "l src/l a"] },
    { name: "hard links", context: ["f src/a", "h src/b src/a"] },
    { name: "odd names", context: ["f src/ö/a", "f src/a.b/c"] },
  ])("$name: a copy of them is one of their sources", async ({ context }) => {
    using bench = new FileBench();
    bench.plantContext(context);
    const options = { action: copyAction("src", "/app/", { owner: { user: "3", group: "4" } }) };
    expect(await copy(bench, "memory", fromMemory, options)).toBe(await copy(bench, "source", fromSource, options));
  });

  test("their sources may change after they were named, and a copy of them says what it holds", async () => {
    using bench = new FileBench();
    bench.plantContext(["f src/a =old", "f src/b"]);
    const change = (): void => writeFileSync(join(bench.context, "src/a"), "new");
    const before = await copy(bench, "before", fromSource);
    expect(await copy(bench, "memory", fromMemory, { change })).toBe(before);
  });
});
