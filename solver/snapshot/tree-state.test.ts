import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { O_DIRECTORY, O_PATH } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import { applyLayer } from "../../lib/tree/apply-layer.ts";
import { markOpaque } from "../../lib/tree/overlay-marks.ts";
import { SKIP_UNLESS_ROOT } from "../ops/file/testing.ts";
import { recordTree, refreshTreeState } from "./tree-state.ts";

const native = locateNative();

const TREE = `mkdir -p d/e/f k links && echo a > d/a && echo b > d/e/b && echo c > d/e/f/c && ln -s a d/l && mkfifo d/p
  echo one > links/a && ln links/a links/b && ln links/a d/e/other && echo k > k/k && ln k/k d/e/f/k`;

test
  .skipIf(SKIP_UNLESS_ROOT !== false)
  .each([
    { layer: "true" },
    { layer: "mkdir -p d new/deep && echo more > d/a && echo n > new/deep/n && ln new/deep/n new/m" },
    { layer: "mkdir d && mknod d/a c 0 0 && mknod d/l c 0 0" },
    { layer: "mknod d c 0 0" },
    { layer: "mkdir -p d/e && echo x > d/e/x", opaque: "d/e" },
    { layer: "mkdir -p d/e/f && echo x > d/e/f/x", opaque: "d/e/f" },
    { layer: "mkdir d && echo file > d/e" },
    { layer: "mkdir d && ln -s ../k d/e" },
    { layer: "mkdir -p d/a d/p && touch d/a/x" },
    { layer: "mkdir links && echo other > links/a" },
    { layer: "mkdir links && mknod links/b c 0 0" },
    { layer: "mkdir links && echo two > links/c && ln links/c links/a" },
    { layer: "mkdir d && chmod 700 d && chown 3:4 d && ln -s b d/l" },
  ])("a refreshed state is that of the tree: $layer", async ({ layer, opaque }) => {
  const home = mkdtempSync(join(tmpdir(), "kiln-tree-state-"));
  try {
    const [root, upper] = [join(home, "root"), join(home, "upper")];
    for (const path of [root, upper]) mkdirSync(path);
    execFileSync("sh", ["-ec", TREE], { cwd: root });
    execFileSync("sh", ["-ec", layer], { cwd: upper });
    const fd = native.openPath(upper, O_PATH | O_DIRECTORY);
    if (opaque !== undefined) markOpaque(native, fd, opaque, "trusted");
    native.close(fd);

    const state = recordTree(native, root).files;
    const to = { layer: upper, marks: "trusted", to: root } as const;
    const applied = await applyLayer(native, to, new AbortController().signal);
    refreshTreeState(native, root, { state, applied });
    expect(sorted(state)).toEqual(sorted(recordTree(native, root).files));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

function sorted<Value>(state: ReadonlyMap<string, Value>): readonly (readonly [string, Value])[] {
  return [...state].toSorted(([left], [right]) => (left < right ? -1 : 1));
}
