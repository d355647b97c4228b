import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
import { utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { locateNative } from "../../lib/native/locate.ts";
import { LocalSource } from "../sources/local/local-source.ts";
import { type DigestedSelection, digestSelection } from "./digest-selection.ts";
import { select } from "./select.ts";
import type { Selector } from "./selector.ts";

const native = locateNative();
const { signal } = new AbortController();
const ALL: Selector = { kind: "copy", source: ".", wildcard: false, excludes: [], parents: false };

let root = "";
let stored: { index: Uint8Array | undefined; fingerprints: Uint8Array | undefined };
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kiln-named-"));
  stored = { index: undefined, fingerprints: undefined };
  mkdirSync(join(root, "d"));
  for (const name of ["a", "b", "d/c"]) writeFileSync(join(root, name), name);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Digests a selection as one build does, and tells whether any file was listed for it. `laterS`: advance of the clock. */
async function named(
  selector: Selector = ALL,
  { excludes = [] as readonly string[], laterS = 10n } = {},
): Promise<DigestedSelection & { readonly known: boolean }> {
  // Digests of single files are requested only when files are listed.
  let known = true;
  const load = (): Uint8Array | undefined => {
    known = false;
    return stored.index;
  };
  using source = new LocalSource({
    native,
    directory: root,
    index: { load, save: (bytes) => void (stored.index = bytes) },
    fingerprints: { load: () => stored.fingerprints, save: (bytes) => void (stored.fingerprints = bytes) },
    nowNs: () => (BigInt(Date.now()) + laterS * 1000n) * 1_000_000n,
  });
  const view = source.view(excludes);
  const found = await digestSelection(view, selector, signal);
  const wasKnown = known;
  // However it was found, the digest equals that of a look at all files.
  const whole = await found.whole(signal);
  expect(whole.digest).toBe(found.digest);
  expect((await select(view, selector, signal)).listing).toBe(whole.listing);
  source.save();
  return { ...found, known: wasKnown };
}

test("an unchanged directory is named without a look at its files", async () => {
  const first = await named();
  expect(first.known).toBe(false);
  const second = await named();
  expect(second).toMatchObject({ known: true, digest: first.digest });
});

test("a directory that changed a moment before is looked at once more", async () => {
  // No time passes after the files were written, however busy the machine is.
  expect((await named(ALL, { laterS: -10n })).known).toBe(false);
  expect((await named(ALL, { laterS: 10n })).known).toBe(false);
  expect((await named(ALL, { laterS: 10n })).known).toBe(true);
});

test.each<{ name: string; change: () => void; same?: true }>([
  { name: "a file's content", change: () => writeFileSync(join(root, "a"), "A") },
  {
    name: "a file's content, with its times set back",
    change() {
      const { mtimeNs } = native.statat(-100, join(root, "a"));
      writeFileSync(join(root, "a"), "A");
      native.utimensat(-100, join(root, "a"), mtimeNs);
    },
  },
  { name: "a file's mode", change: () => chmodSync(join(root, "d/c"), 0o755) },
  { name: "a file's name", change: () => renameSync(join(root, "a"), join(root, "z")) },
  { name: "the set of files", change: () => unlinkSync(join(root, "d/c")) },
  { name: "an empty directory", change: () => mkdirSync(join(root, "new")) },
  { name: "a file's attributes", change: () => native.setXattr(-100, join(root, "b"), "user.x", Buffer.from("1")) },
  {
    name: "a link's target",
    change() {
      unlinkSync(join(root, "a"));
      symlinkSync("elsewhere", join(root, "a"));
    },
  },
  { name: "times only", change: () => utimesSync(join(root, "a"), 1, 1), same: true },
])("a change of $name is seen", async ({ change, same }) => {
  await named();
  const before = await named();
  change();
  const after = await named();
  expect(after.known).toBe(false);
  if (same) expect(after.digest).toBe(before.digest);
  else expect(after.digest).not.toBe(before.digest);
});

test("other sources, patterns and places of the same directory are other selections", async () => {
  await named();
  const below: Selector = { ...ALL, source: "d" };
  expect((await named(below)).known).toBe(false);
  expect((await named(below)).known).toBe(true);
  expect((await named(ALL, { excludes: ["d"] })).known).toBe(false);
  expect((await named({ ...ALL, excludes: ["a"] })).known).toBe(false);
  expect((await named({ kind: "path", source: "." })).known).toBe(false);
  expect((await named()).known).toBe(true);
  mkdirSync(join(root, "e"));
  writeFileSync(join(root, "e/c"), "d/c");
  renameSync(join(root, "d"), join(root, "old"));
  symlinkSync("e", join(root, "d"));
  expect((await named(below)).known).toBe(false);
});

test("damaged memories are no memories", async () => {
  await named();
  stored.fingerprints = Buffer.from("fingerprints/1\nnot a line\nab sha256:12 x\n");
  expect((await named()).known).toBe(false);
  stored.fingerprints = Buffer.from([0, 1, 2, 255]);
  expect((await named()).known).toBe(false);
});
