import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { arch, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isRecord } from "../../lib/core/json.ts";
import { VERSION } from "../../lib/core/version.ts";
import { pack } from "../../scripts/release/archive.ts";
import { PROJECT } from "./harness.ts";

/*
 * The published files, made a second time in a copy of the clone: in a folder with a space and a comma, by another umask, in another
 * time zone, with other variables.
 */

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const DATE = "1764000000";
let work: string;
let copy: string;

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "kiln-release-"));
  copy = join(work, "a folder, 1");
  const listed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: PROJECT,
  });
  for (const name of listed.toString().split("\0")) copyOver(name);
  // Not a link to the folder: maps and comments name the files of packages as they are seen from here.
  execFileSync("sh", [
    "-c",
    'cp -al "$1" "$2" 2>/dev/null || cp -a "$1" "$2"',
    "sh",
    join(PROJECT, "node_modules"),
    copy,
  ]);
  inCopy("sh scripts/build.sh");
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Copies a file of the repository that is there: one that was removed may still be listed. */
function copyOver(name: string): void {
  const from = join(PROJECT, name);
  if (name === "" || statSync(from, { throwIfNoEntry: false })?.isFile() !== true) return;
  mkdirSync(dirname(join(copy, name)), { recursive: true });
  copyFileSync(from, join(copy, name));
}

function inCopy(line: string): void {
  execFileSync("sh", ["-c", `umask 077 && ${line}`], {
    cwd: copy,
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      ...process.env,
      TZ: "Pacific/Kiritimati",
      LC_ALL: "C",
      HOME: work,
      USER: "somebody",
      KILN_RELEASE_COMMIT: COMMIT,
      SOURCE_DATE_EPOCH: DATE,
    },
  });
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /^(?:kiln|complete|undici|errors|commands|report|version|late|library|types)/.test(name))
    .filter((name) => statSync(join(folder, name)).isFile())
    .toSorted();
}

test("two clones in different folders, by different umasks and time zones, have equal bytes", () => {
  const names = filesBelow(join(copy, "build"));
  expect(names).toEqual(expect.arrayContaining(["kiln.blob", "kiln.cjs", "kiln.node", "kiln-runtime", "report.html"]));
  const differing = names.filter(
    (name) => !readFileSync(join(PROJECT, "build", name)).equals(readFileSync(join(copy, "build", name))),
  );
  expect(differing).toEqual([]);
});

describe("the npm package and the bill of materials", () => {
  let kiln: string;
  const said = (...words: string[]): string => execFileSync(kiln, words, { encoding: "utf8", cwd: work });

  beforeAll(() => {
    inCopy(`sh scripts/pinned.sh node scripts/release/release.ts --only npm,sbom --arch ${arch()} --out ../dist`);
    const modules = join(work, "installed here/node_modules");
    mkdirSync(modules, { recursive: true });
    execFileSync("tar", ["-xzf", join(work, `dist/kiln-${VERSION}.tgz`), "-C", modules]);
    const node = `node-linux-${arch()}`;
    symlinkSync(join(PROJECT, "node_modules", node), join(modules, node));
    kiln = join(modules, "package/bin/kiln");
  });

  test("name the version and the commit they are made of", () => {
    const manifest: unknown = JSON.parse(readFileSync(join(dirname(kiln), "../package.json"), "utf8"));
    expect(manifest).toMatchObject({ name: "kiln", version: VERSION, gitHead: COMMIT });
    expect(said("--version")).toBe(`kiln ${VERSION}\n`);
    const version: unknown = JSON.parse(said("version", "--json"));
    expect(version).toMatchObject({
      Client: { Version: VERSION, GitCommit: COMMIT, BuildTime: "2025-11-24T16:00:00.000Z" },
    });
    expect(said("executor", "--version")).toContain(`commit    ${COMMIT}`);
  });

  test("name no folder of the machine that made them", () => {
    const folder = join(dirname(kiln), "..");
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      statSync(join(folder, name)).isFile(),
    );
    const naming = files.filter((name) => readFileSync(join(folder, name)).includes(work));
    expect(naming).toEqual([]);
  });

  test("list the packages in the bundle, Node, and Debian's libraries", () => {
    const bill: unknown = JSON.parse(readFileSync(join(work, `dist/kiln-${VERSION}.cdx.json`), "utf8"));
    expect(bill).toMatchObject({ bomFormat: "CycloneDX", metadata: { timestamp: "2025-11-24T16:00:00Z" } });
    const components: unknown[] = isRecord(bill) && Array.isArray(bill["components"]) ? bill["components"] : [];
    const names = components.filter(isRecord).map((component) => component["name"]);
    expect(names).toEqual(expect.arrayContaining(["commander", "undici", `node-linux-${arch()}`, "libc6"]));
    expect(names).not.toContain("vitest");
  });
});

test("an archive depends on names and contents alone: not on dates, owners' masks, or the order of making", () => {
  const made = ["one", "two"].map((name, turn) => {
    const folder = join(work, name, "kiln");
    mkdirSync(join(folder, "b"), { recursive: true });
    for (const file of turn === 0 ? ["a", "b/c"] : ["b/c", "a"]) {
      writeFileSync(join(folder, file), file);
      chmodSync(join(folder, file), turn === 0 ? 0o644 : 0o600);
      utimesSync(join(folder, file), turn, turn);
    }
    chmodSync(join(folder, "b"), turn === 0 ? 0o755 : 0o700);
    const path = join(work, name, "packed.tgz");
    pack(folder, path, DATE);
    return readFileSync(path);
  });
  expect(made[0]?.equals(made[1] ?? Buffer.alloc(0))).toBe(true);
});
