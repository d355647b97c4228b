import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { kiln, mustKiln } from "../e2e/harness.ts";

/** The places that the operations of one run share. */
export interface Places {
  /** The store that faults happen to. */
  readonly store: string;
  /** A store that is never disturbed, for what is right and for what is read back. */
  readonly calm: string;
  /** Folder for archives. */
  readonly folder: string;
  /** `127.0.0.1:40123` of a registry that holds `app:0` to `app:3`. */
  readonly registry: string;
  /** A context's folder and the id that an undisturbed build of it gave. */
  readonly contexts: readonly { readonly path: string; readonly id: string }[];
}

/** One command that is disturbed, and what must be true of the same command afterwards. */
export interface Operation {
  /** Brings the store to where the command has work to do. */
  before(places: Places, round: number): void;
  args(places: Places, round: number): readonly string[];
  /** Looks at the result of the command when it ran again undisturbed. */
  after(places: Places, round: number): void;
}

const context = (places: Places, round: number): Places["contexts"][number] => {
  const found = places.contexts[round % places.contexts.length];
  if (found === undefined) throw new Error("no context");
  return found;
};
const forget = (places: Places): void => {
  kiln(places.store, ["rmi", "-f", "app"]);
  mustKiln(places.store, ["prune", "--all"]);
};
const idOf = (store: string, name: string): string =>
  mustKiln(store, ["inspect", "--format", "{{.Id}}", name]).stdout.trim();
/** The build whose images are equal wherever and whenever it runs. */
const buildArgs = (path: string): readonly string[] => ["build", "-q", "--reproducible", "-t", "app", path];
const isApp = (places: Places, round: number): void =>
  expect(idOf(places.store, "app")).toBe(context(places, round).id);

const built = (places: Places, round: number): void => {
  mustKiln(places.store, buildArgs(context(places, round).path));
};

/** The operations by name. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  build: {
    before: () => undefined,
    args: (places, round) => buildArgs(context(places, round).path),
    after: isApp,
  },
  "build without cache": {
    before: () => undefined,
    args: (places, round) => [...buildArgs(context(places, round).path), "--no-cache"],
    after: isApp,
  },
  pull: {
    before: forget,
    args: ({ registry, contexts }, round) => ["pull", `${registry}/app:${round % contexts.length}`],
    after(places, round) {
      const name = `${places.registry}/app:${round % places.contexts.length}`;
      expect(mustKiln(places.store, ["run", name, "cat", "/files/round"]).stdout).toBe(
        readFileSync(join(context(places, round).path, "files/round"), "utf8"),
      );
      mustKiln(places.store, ["rmi", "-f", name]);
    },
  },
  push: {
    before(places, round) {
      built(places, round);
      mustKiln(places.store, ["tag", "app", `${places.registry}/pushed-${round}:1`]);
    },
    args: ({ registry }, round) => ["push", `${registry}/pushed-${round}:1`],
    after(places, round) {
      const name = `${places.registry}/pushed-${round}:1`;
      mustKiln(places.calm, ["pull", "-q", name]);
      expect(idOf(places.calm, name)).toBe(context(places, round).id);
      for (const store of [places.store, places.calm]) mustKiln(store, ["rmi", "-f", name]);
    },
  },
  save: {
    before(places, round) {
      built(places, round);
      rmSync(join(places.folder, "saved.tar"), { force: true });
    },
    args: ({ folder }) => ["save", "-o", join(folder, "saved.tar"), "app"],
    after(places, round) {
      mustKiln(places.calm, ["load", "-q", "-i", join(places.folder, "saved.tar")]);
      expect(idOf(places.calm, "app")).toBe(context(places, round).id);
    },
  },
  load: {
    before(places, round) {
      forget(places);
      mustKiln(places.calm, buildArgs(context(places, round).path));
      mustKiln(places.calm, ["save", "-o", join(places.folder, "given.tar"), "app"]);
    },
    args: ({ folder }) => ["load", "-q", "-i", join(folder, "given.tar")],
    after: isApp,
  },
  prune: {
    before: built,
    args: () => ["prune", "--all"],
    after(places, round) {
      built(places, round);
      isApp(places, round);
    },
  },
  tag: {
    before: built,
    args: (_places, round) => ["tag", "app", `tagged:${round}`],
    after(places, round) {
      expect(idOf(places.store, `tagged:${round}`)).toBe(context(places, round).id);
      mustKiln(places.store, ["rmi", `tagged:${round}`]);
    },
  },
  rmi: {
    before(places, round) {
      built(places, round);
    },
    // Removed by the disturbed run, it is no longer there for the one after.
    args: () => ["rmi", "-f", "app"],
    after(places, round) {
      expect(mustKiln(places.store, ["images", "-q", "app"]).stdout).toBe("");
      built(places, round);
      isApp(places, round);
    },
  },
  "cp out of an image": {
    before(places, round) {
      built(places, round);
      rmSync(join(places.folder, "out"), { recursive: true, force: true });
    },
    args: ({ folder }) => ["cp", "app:/made", join(folder, "out")],
    after(places) {
      const made = readFileSync(join(places.folder, "out"));
      expect(createHash("sha256").update(made).digest("hex")).toBe(
        mustKiln(places.store, ["run", "app", "sha256sum", "/made"]).stdout.slice(0, 64),
      );
      expect(existsSync(join(places.folder, "out"))).toBe(true);
    },
  },
};
