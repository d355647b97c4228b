import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { temporary } from "../e2e/harness.ts";
import { importBusybox } from "./kiln-process.ts";

/** Things that each test gets for itself. */
export interface FreshStore {
  /** Folder around the rest, removed with everything in it. */
  readonly folder: string;
  /** A store with the image `busybox`. */
  readonly store: string;
  /** Folder for a context. */
  readonly context: string;
}

/** Gives every test of the surrounding file or `describe` a store of its own. */
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
