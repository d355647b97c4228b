import { type FSWatcher, lstatSync, readdirSync, watch } from "node:fs";
import { basename, join } from "node:path";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import { decodeName, encodeName } from "../../lib/native/names.ts";

/** Paths that count, relative to the root of a tree. */
export interface TreeFilter {
  /** Tells whether a change of the path does not count. */
  isIgnored(path: string): boolean;
  /** Tells whether nothing below a directory counts: it is then not watched. */
  isPruned(directory: string): boolean;
}

/** The receiver of events; none of its functions may throw. */
export interface TreeEvents {
  /** Takes the absolute path of a file or directory that changed, appeared or disappeared. */
  readonly add: (path: string) => void;
  /** Takes the error of an event that could not be followed. */
  readonly fail: (error: unknown) => void;
}

/**
 * Watches a directory and everything below it, by one watch for each directory. A directory that appears is watched before it
 * is listed, so that a file is found by the list, by an event, or by both. The root may disappear and come back.
 */
export class TreeWatcher implements Disposable {
  readonly root: string;
  readonly #filter: TreeFilter;
  readonly #events: TreeEvents;
  readonly #watchers = new Map<string, FSWatcher>();
  #rootId: string | undefined;
  #eventCount = 0;

  /** @throws {BuildError} `watch/limit` when the system has no more watches */
  constructor(root: string, filter: TreeFilter, events: TreeEvents) {
    this.root = root;
    this.#filter = filter;
    this.#events = events;
    this.#rootId = identityOf(root);
    this.#add(root, "silent");
  }

  /** Returns the number of events since the last call, ignored ones included: all of them take room in the kernel's queue. */
  takeEvents(): number {
    const count = this.#eventCount;
    this.#eventCount = 0;
    return count;
  }

  get directories(): number {
    return this.#watchers.size;
  }

  /** Watches again from the beginning if the root is another directory than before, which no event may have told. */
  checkRoot(): void {
    const id = identityOf(this.root);
    if (id === this.#rootId) return;
    this.#rootId = id;
    this.again();
    this.#events.add(this.root);
  }

  /** Watches all directories that are there now, whatever was missed. */
  again(): void {
    this.#remove(this.root);
    this.#add(this.root, "silent");
  }

  [Symbol.dispose](): void {
    this.#remove(this.root);
  }

  #add(start: string, mode: "silent" | "announced"): void {
    const waiting = [start];
    for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
      const inside = this.#relative(directory);
      if (inside !== "" && this.#filter.isPruned(inside)) continue;
      if (!this.#watch(directory)) continue;
      for (const { name, isDirectory } of entriesOf(directory)) {
        const path = join(directory, name);
        if (isDirectory) waiting.push(path);
        if (mode === "announced") this.#tell(path);
      }
    }
  }

  #remove(directory: string): void {
    const below = `${directory}/`;
    for (const [path, watcher] of this.#watchers) {
      if (path !== directory && !path.startsWith(below)) continue;
      this.#watchers.delete(path);
      watcher.close();
    }
  }

  /** @returns whether the directory is watched */
  #watch(directory: string): boolean {
    try {
      const watcher = watch(encodeName(directory), { encoding: "buffer" }, (kind, name) => {
        try {
          this.#event(directory, kind, name === null ? undefined : decodeName(name));
        } catch (error) {
          this.#events.fail(error);
        }
      });
      // A directory that is removed; the one above tells of it.
      watcher.on("error", () => undefined);
      this.#watchers.set(directory, watcher);
      return true;
    } catch (error) {
      const code = errnoOf(error);
      if (code === "ENOSPC" || code === "EMFILE") throw noMoreWatches(code, this.#watchers.size, error);
      // It has gone, or is closed to us: then a build cannot read it either, and says so.
      return false;
    }
  }

  #event(directory: string, kind: string, name: string | undefined): void {
    this.#eventCount += 1;
    if (!this.#watchers.has(directory)) return;
    const path = name === undefined ? directory : join(directory, name);
    const status = name === undefined ? undefined : lstatSync(encodeName(path), { throwIfNoEntry: false });
    if (status === undefined && (name === undefined || name === basename(directory))) {
      // An event of the directory itself bears its own name.
      if (directory === this.root) this.checkRoot();
      this.#tell(directory);
      return;
    }
    if (kind === "rename") {
      if (this.#watchers.has(path)) this.#remove(path);
      if (status?.isDirectory() === true) this.#add(path, "announced");
    }
    this.#tell(path);
  }

  #tell(path: string): void {
    const inside = this.#relative(path);
    if (inside === "" || !this.#filter.isIgnored(inside)) this.#events.add(path);
  }

  #relative(path: string): string {
    return path === this.root ? "" : path.slice(this.root.length + 1);
  }
}

function entriesOf(directory: string): { readonly name: string; readonly isDirectory: boolean }[] {
  try {
    return readdirSync(encodeName(directory), { withFileTypes: true, encoding: "buffer" }).map((entry) => ({
      name: decodeName(entry.name),
      isDirectory: entry.isDirectory(),
    }));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}

/** Returns what tells two directories of one name apart; `undefined` where there is none. */
function identityOf(path: string): string | undefined {
  const status = lstatSync(encodeName(path), { throwIfNoEntry: false });
  return status === undefined ? undefined : `${status.dev}:${status.ino}:${status.birthtimeMs}`;
}

function noMoreWatches(code: string, directories: number, cause: unknown): BuildError {
  const [what, sysctl, value] =
    code === "ENOSPC"
      ? (["watches", "fs.inotify.max_user_watches", "524288"] as const)
      : (["watchers or open files", "fs.inotify.max_user_instances", "512"] as const);
  return new BuildError(
    "watch/limit",
    `Cannot watch more than ${directories} directories: the system has no more ${what}`,
    {
      hint: `raise the limit: sudo sysctl ${sysctl}=${value}; or leave directories out by .dockerignore`,
      cause,
    },
  );
}
