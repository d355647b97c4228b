import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AT_FDCWD, S_IFIFO } from "../../lib/native/constants.ts";
import { locateNative } from "../../lib/native/locate.ts";
import type { Native } from "../../lib/native/native.ts";
import { LocalSource } from "../sources/local/local-source.ts";
import { select } from "./select.ts";
import type { Selector } from "./selector.ts";

const { signal } = new AbortController();
const native = locateNative();

describe("a listing", () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "kiln-listing-"));
    for (const path of ["a.b/c", "a/b/deep", "a/x", "a-b", "empty"]) {
      mkdirSync(join(directory, path, ".."), { recursive: true });
      writeFileSync(join(directory, path), path === "empty" ? "" : path);
    }
    mkdirSync(join(directory, "void"));
    chmodSync(join(directory, "a/x"), 0o4751);
    symlinkSync("../a", join(directory, "a/link"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  async function listing(selector: Selector, excludes: readonly string[], from: Native): Promise<string> {
    const index = { load: () => undefined, save: () => {} };
    using source = new LocalSource({ native: from, directory, index, nowNs: () => 0n });
    return (await select(source.view(excludes), selector, signal)).listing;
  }

  const copy = (source: string, changes: object = {}): Selector => ({
    kind: "copy",
    source,
    wildcard: true,
    excludes: [],
    parents: false,
    ...changes,
  });

  test.each<{
    name: string;
    selector: Selector;
    excludes?: readonly string[];
    plant?: (path: string) => void;
    plain?: false;
  }>([
    { name: "of everything", selector: copy("") },
    { name: "of a directory below", selector: copy("a") },
    { name: "without some", selector: copy("", { excludes: ["**/x"] }), excludes: ["void", "a/b"] },
    { name: "of a mounted directory", selector: { kind: "path", source: "a" } },
    { name: "with parents", selector: copy("a/b", { parents: true }) },
    { name: "of a file", selector: copy("a/x"), plain: false },
    { name: "of several directories", selector: copy("a*"), plain: false },
    {
      name: "with a name to escape",
      selector: copy(""),
      plant: (at) => writeFileSync(`${at}/b\\c\n`, ""),
      plain: false,
    },
    {
      name: "with a name that is not ASCII",
      selector: copy(""),
      plant: (at) => writeFileSync(`${at}/ö`, ""),
      plain: false,
    },
    {
      name: "with a link to such a name",
      selector: copy(""),
      plant: (at) => symlinkSync("ö", `${at}/l`),
      plain: false,
    },
    {
      name: "with a pipe",
      selector: copy(""),
      plant: (at) => native.mknodat(AT_FDCWD, `${at}/pipe`, S_IFIFO | 0o644),
      plain: false,
    },
    {
      name: "with attributes",
      selector: copy(""),
      plant: (at) => native.setXattr(AT_FDCWD, `${at}/a/x`, "user.note", Buffer.from("n")),
      plain: false,
    },
  ])("$name is the same by the addon and without it", async ({ selector, excludes = [], plant, plain = true }) => {
    plant?.(directory);
    const results: boolean[] = [];
    const watching: Native = {
      ...native,
      listRows(listed) {
        const text = native.listRows(listed);
        results.push(text !== undefined);
        return text;
      },
    };
    const byAddon = await listing(selector, excludes, watching);
    expect(results.includes(true)).toBe(plain);
    expect(byAddon).toBe(await listing(selector, excludes, { ...native, listRows: () => undefined }));
    expect(byAddon).not.toBe("");
  });
});
