import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { type Script, startScript } from "../../test/support/script.ts";
import { locateNative } from "../native/locate.ts";
import { openStore, type OpenStore } from "./open-store.ts";

/**
 * Gives every test of the file a store of its own, removed at its end. `withStore` starts a process with the same store
 * open as `store`; in it, `say` prints a line and `hear` waits for one.
 */
export function useSharedStore(use: (fresh: { readonly root: string; readonly store: OpenStore }) => void): {
  readonly withStore: (code: string) => Script;
} {
  let root: string;
  let store: OpenStore;
  const scripts: Script[] = [];
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "kiln-store-"));
    store = openStore(root, { native: locateNative(), clock: { nowMs: () => 1_700_000_000_000 } });
    use({ root, store });
  });
  afterEach(async () => {
    await Promise.all(scripts.splice(0).map((script) => script[Symbol.asyncDispose]()));
    await store[Symbol.asyncDispose]();
    rmSync(root, { recursive: true, force: true });
  });
  return {
    withStore: (code) => {
      const script = startScript(`
        import { createInterface } from "node:readline";
        import { openStore } from "ROOT/lib/store/open-store.ts";
        import { digestOf } from "ROOT/lib/core/digest.ts";
        import { loadNative } from "ROOT/lib/native/load.ts";
        const say = (line) => process.stdout.write(line + "\\n");
        const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
        const hear = async () => (await lines.next()).value;
        const signal = new AbortController().signal;
        const store = openStore(${JSON.stringify(root)}, { native: loadNative("ROOT/build/kiln.node"), clock: { nowMs: () => Date.now() } });
        ${code}
      `);
      scripts.push(script);
      return script;
    },
  };
}
