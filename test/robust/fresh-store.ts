import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { temporary } from "../e2e/harness.ts";
import { importBusybox } from "./kiln-process.ts";

/** What each test has for itself. */
export interface FreshStore {
  /** Holds the rest, and is removed with it. */
  readonly folder: string;
  /** A store that knows `busybox`. */
  readonly store: string;
  /** Where a context may be written. */
  readonly context: string;
}

/** Gives every test of the file or `describe` it is called in a store of its own. */
export function useFreshStore(use: (fresh: FreshStore) => void): void {
  let folder: ReturnType<typeof temporary>;
  beforeEach(() => {
    folder = temporary();
    const store = join(folder.path, "store");
    importBusybox(store, folder.path);
    use({ folder: folder.path, store, context: join(folder.path, "context") });
  });
  afterEach(() => folder[Symbol.dispose]());
}
