import { chmodSync, linkSync, lutimesSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { locateNative } from "../../../lib/native/locate.ts";
import type { Native } from "../../../lib/native/native.ts";
import { digestSelection } from "../../select/digest-selection.ts";
import { select } from "../../select/select.ts";
import type { Selector } from "../../select/selector.ts";
import { LocalSource } from "./local-source.ts";

const everything: Selector = { kind: "copy", source: "", wildcard: false, excludes: [], parents: false };
const { signal } = new AbortController();
const native = locateNative();

describe("uniform files", () => {
  const made: string[] = [];
  let reads = 0;
  const watching: Native = {
    ...native,
    digestRows: (dirfd, batch) => {
      reads += batch.rows.length;
      return native.digestRows(dirfd, batch);
    },
  };

  /** Makes the same files, with the modes of a umask and another time. */
  const files = (umask: number, seconds: number): string => {
    const directory = mkdtempSync(join(tmpdir(), "kiln-uniform-"));
    made.push(directory);
    const at = (name: string): string => join(directory, name);
    mkdirSync(at("d"));
    for (const name of ["a", "d/tool", "d/b"]) writeFileSync(at(name), name.slice(-1));
    symlinkSync("a", at("link"));
    chmodSync(at("a"), 0o666 & ~umask);
    chmodSync(at("d/b"), 0o4640 & ~umask);
    chmodSync(at("d/tool"), 0o777 & ~umask);
    chmodSync(at("d"), 0o777 & ~umask);
    for (const name of ["a", "link", "d/tool", "d/b", "d"]) lutimesSync(at(name), seconds, seconds);
    return directory;
  };
  const storage = (): { load: () => Uint8Array | undefined; save: (bytes: Uint8Array) => void } => {
    let saved: Uint8Array | undefined;
    return { load: () => saved, save: (bytes) => void (saved = bytes) };
  };
  const open = (directory: string, index = storage(), fingerprints = storage()): LocalSource =>
    new LocalSource({
      native: watching,
      directory,
      index,
      fingerprints,
      nowNs: () => BigInt(Date.now()) * 1_000_000n + 60_000_000_000n,
      clock: "own",
    });
  const listed = async (directory: string, time: number | undefined): Promise<string> => {
    using source = open(directory);
    return (await select(source.view([], "root", "known", time), everything, signal)).listing;
  };

  beforeEach(() => void (reads = 0));
  afterEach(() => {
    for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true });
  });

  test("two checkouts are one, whatever umask, times and hard links", async () => {
    const [one, other] = [files(0o022, 1_000_000_000), files(0o077, 5)];
    rmSync(join(other, "d/b"));
    writeFileSync(join(other, "d/b"), "b");
    const twins = files(0o007, 7);
    for (const directory of [one, other, twins]) writeFileSync(join(directory, "twin"), "a");
    rmSync(join(twins, "twin"));
    linkSync(join(twins, "a"), join(twins, "twin"));
    const listing = await listed(one, 9);
    expect(listing).toContain("d/tool\tf\t0755\t0\t0\t1\t");
    expect(listing).toContain("d/b\tf\t0644\t0\t0\t1\t");
    expect(
      listing
        .trim()
        .split("\n")
        .every((line) => line.endsWith("\t@9000000000")),
    ).toBe(true);
    expect(await listed(other, 9)).toBe(listing);
    expect(await listed(twins, 9)).toBe(listing);
    expect(await listed(one, 10)).not.toBe(listing);
    expect(await listed(one, undefined)).not.toContain("@");
    expect(await listed(other, undefined)).not.toBe(await listed(one, undefined));
  });

  test("the index and the fingerprints know them by their own stamps, and apart from files as they are", async () => {
    const directory = files(0o022, 1_000_000_000);
    const [index, fingerprints] = [storage(), storage()];
    const build = async (time: number | undefined): Promise<string> => {
      reads = 0;
      using source = open(directory, index, fingerprints);
      const { digest } = await digestSelection(source.view([], "root", "known", time), everything, signal);
      source.save();
      return digest;
    };
    const plain = await build(undefined);
    expect(reads).toBe(3);
    const nine = await build(9);
    expect(reads).toBe(0);
    const ten = await build(10);
    expect(new Set([plain, nine, ten]).size).toBe(3);
    for (const [time, digest] of [[undefined, plain] as const, [9, nine] as const, [10, ten] as const]) {
      expect(await build(time)).toBe(digest);
      expect(reads).toBe(0);
    }
    writeFileSync(join(directory, "a"), "A");
    expect(await build(9)).not.toBe(nine);
    expect(reads).toBe(1);
  });
});
