import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
} from "node:fs";
import { utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { O_DIRECTORY, O_PATH, S_IFCHR, S_IFIFO, S_IFSOCK } from "../native/constants.ts";
import { digestOf } from "../core/digest.ts";
import { locateNative } from "../native/locate.ts";
import { TreeScan } from "../native/scan.ts";
import { type LayerMeasure, measureLayer } from "./measure.ts";
import { PACK_SCAN, packLayer, packPlan, type PackOptions } from "./pack.ts";
import { PackPool } from "./pack-pool.ts";

const native = locateNative();
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("not root: layers with devices, whiteouts and other owners are not measured");
const signal = new AbortController().signal;
const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** u::rw-,u:1234:r--,g::r--,m::r--,o::r-- */
const ACCESS_LIST = Buffer.from(
  "0200000001000600ffffffff02000400d204000004000400ffffffff10000400ffffffff20000400ffffffff",
  "hex",
);

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-measure-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function fresh(name: string): string {
  const path = join(directory, name);
  mkdirSync(path);
  return path;
}

/** The sums of the tar itself. */
async function ofTar(options: PackOptions): Promise<Pick<LayerMeasure, "diffId" | "sizeBytes">> {
  const sum = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of packLayer(native, options, signal)) {
    sum.update(chunk);
    sizeBytes += chunk.length;
  }
  return { diffId: `sha256:${sum.digest("hex")}` as LayerMeasure["diffId"], sizeBytes };
}

/**
 * Gives the same bytes on every machine to what a test has written: times that it did not set, and modes.
 * @param modes `kept` for those of the test
 */
function settle(at: string, modes: "kept" | "usual"): void {
  const tree = native.scanTreeSync(-100, { path: at });
  const { columns } = tree;
  for (let row = tree.count - 1; row > 0; row -= 1) {
    const path = join(at, tree.path(row));
    const isLink = (columns.mode[row] ?? 0) >>> 12 === 10;
    const isDirectory = (columns.mode[row] ?? 0) >>> 12 === 4;
    if (modes === "usual" && !isLink) native.fchmodat(-100, path, isDirectory ? 0o755 : 0o644);
    const seconds = Number((columns.mtimeNs[row] ?? 0n) / 1_000_000_000n);
    if (seconds > 1_700_000_000 && seconds < 4_000_000_000) native.utimensat(-100, path, 1_600_000_000_750_000_000n);
  }
}

const TREES: readonly {
  readonly name: string;
  readonly root?: true;
  readonly modes?: "kept";
  /** Digest of the sums with all options, for root. A change of it changes the diffID of every such layer. */
  readonly golden: string;
  readonly write: (path: string) => void | Promise<void>;
}[] = [
  { name: "nothing", golden: "2bd50c06b375f2a6", write: () => {} },
  {
    name: "files of every size around a block",
    golden: "c156dab2f2e90e65",
    write(at) {
      for (const size of [0, 1, 511, 512, 513, (1 << 20) - 1024, 1 << 20, (1 << 20) + 1, 3_000_000]) {
        writeFileSync(join(at, `f${size}`), Buffer.alloc(size, size % 251));
      }
    },
  },
  {
    name: "files that end where the addon's block ends",
    golden: "0d68a71872983ce8",
    write(at) {
      // A header and content that fill the first mebibyte exactly, and more behind it.
      writeFileSync(join(at, "a"), Buffer.alloc((1 << 20) - 512, 1));
      writeFileSync(join(at, "b"), Buffer.alloc((1 << 20) - 1024, 2));
      writeFileSync(join(at, "c"), "c");
    },
  },
  {
    name: "many small files in many directories",
    golden: "065660f77495d0f6",
    write(at) {
      for (let n = 0; n < 600; n += 1) {
        const folder = join(at, `d${n % 7}`, `e${n % 3}`);
        mkdirSync(folder, { recursive: true });
        writeFileSync(join(folder, `f${n}`), `${n}`.repeat(n));
      }
    },
  },
  {
    name: "paths and targets around the length of a field",
    golden: "f6404c7e2267873c",
    write(at) {
      for (const length of [98, 99, 100, 101, 200]) {
        writeFileSync(join(at, `f${"x".repeat(length - 1)}`), "x");
        mkdirSync(join(at, `d${"y".repeat(length - 1)}`));
        mkdirSync(join(at, "deep", "z".repeat(length - 6)), { recursive: true });
        writeFileSync(join(at, "deep", "z".repeat(length - 6), "f"), "z");
        symlinkSync("t".repeat(length), join(at, `l${length}`));
      }
    },
  },
  {
    name: "names that are not ASCII, or not UTF-8",
    golden: "a050526d5d0b480f",
    write(at) {
      mkdirSync(join(at, "größe"));
      writeFileSync(join(at, "größe", "f"), "1");
      symlinkSync("größe/f", join(at, "link"));
      native.close(native.openPath(Buffer.from(`${at}/\xff\xfe`, "latin1"), 0o101));
    },
  },
  {
    name: "times before 1970, with fractions, and far away",
    golden: "fc47c6b2ee7cc329",
    write(at) {
      for (const [name, ns] of Object.entries({
        past: -1n,
        early: -5_000_000_001n,
        part: 1_999_999_999n,
        late: 2n ** 62n,
      })) {
        writeFileSync(join(at, name), name);
        native.utimensat(-100, join(at, name), ns);
      }
    },
  },
  {
    name: "links inside and files with a name elsewhere",
    golden: "e13b512d5195e22e",
    write(at) {
      for (const name of ["a", "b", "c"]) writeFileSync(join(at, name), name);
      linkSync(join(at, "a"), join(at, "z"));
      linkSync(join(at, "b"), join(at, "..", "elsewhere"));
      symlinkSync("a", join(at, "s"));
      linkSync(join(at, "s"), join(at, "t"));
    },
  },
  {
    name: "a socket",
    golden: "18683f1ace9a0754",
    async write(at) {
      writeFileSync(join(at, "a"), "a");
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(join(at, "socket"), resolve));
      // Closing would take the socket's name away.
      linkSync(join(at, "socket"), join(at, "kept"));
      await new Promise((resolve) => server.close(resolve));
    },
  },
  {
    name: "modes",
    golden: "b5986ad4846280c1",
    modes: "kept",
    write(at) {
      for (const mode of [0o4755, 0o2755, 0o1777, 0, 0o644]) {
        writeFileSync(join(at, `f${mode}`), "x");
        chmodSync(join(at, `f${mode}`), isRoot ? mode : mode | 0o400);
      }
    },
  },
  {
    name: "owners, devices, attributes and marks",
    golden: "f945cd9171f9c06e",
    root: true,
    write(at) {
      mkdirSync(join(at, "d/e"), { recursive: true });
      for (const name of ["caps", "big", "own", "above"]) writeFileSync(join(at, "d", name), name);
      chownSync(join(at, "d/own"), 2_097_151, 7);
      chownSync(join(at, "d/above"), 5, 2_097_152);
      native.setXattr(-100, join(at, "d/caps"), "security.capability", CAPABILITY);
      native.setXattr(-100, join(at, "d/big"), "user.note", Buffer.alloc(3000, 1));
      native.setXattr(-100, join(at, "d/e"), "trusted.overlay.opaque", Buffer.from("y"));
      native.setXattr(-100, at, "trusted.overlay.opaque", Buffer.from("y"));
      native.mknodat(-100, join(at, "d/gone"), S_IFCHR | 0o600);
      native.mknodat(-100, join(at, "null"), S_IFCHR | 0o666, { major: 1, minor: 3 });
      native.mknodat(-100, join(at, "pipe"), S_IFIFO | 0o600);
    },
  },
];

const RUNS = [{ fromNs: 1_500_000_000_000_000_000n, untilNs: 1_700_000_000_000_000_000n }];

describe("measuring", () => {
  for (const { name, root, write, golden, modes = "usual" } of TREES) {
    test.skipIf(root === true && !isRoot)(`gives the sums of the tar: ${name}`, async () => {
      const from = fresh("from");
      await write(from);
      for (const xattrs of ["capability", "user"] as const) {
        for (const clamp of [{}, { clampMtimeSeconds: 1_000_000 }]) {
          const options: PackOptions = { directory: from, marks: "trusted", xattrs, ...clamp };
          const measured = await measureLayer(native, options, signal);
          expect(measured).toMatchObject(await ofTar(options));
        }
      }
    });

    test.skipIf(!isRoot)(`gives the sums that it always gave: ${name}`, async () => {
      const from = fresh("from");
      await write(from);
      settle(from, modes);
      const sums: LayerMeasure[] = [];
      for (const xattrs of ["capability", "user"] as const) {
        for (const more of [{}, { clampMtimeSeconds: 1_000_000 }, { clampMtimeSeconds: -1 }, { runs: RUNS }]) {
          sums.push(await measureLayer(native, { directory: from, marks: "trusted", xattrs, ...more }, signal));
        }
      }
      expect(digestOf(JSON.stringify(sums)).slice(7, 23)).toBe(golden);
    });
  }

  test("content digests of earlier versions stay what they were", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "d"), { mode: 0o755 });
    writeFileSync(join(from, "d/f"), "content", { mode: 0o640 });
    symlinkSync("d/f", join(from, "l"));
    chmodSync(join(from, "d"), 0o755);
    chmodSync(join(from, "d/f"), 0o640);
    const { contentDigest, entries } = await measureLayer(native, { directory: from, marks: "trusted" }, signal);
    expect(entries).toBe(3);
    if (isRoot) expect(contentDigest).toBe("sha256:58125a78d5f6835b0004ae7913c4b273216b2bac04bebfd9d54cb89d71f0fb2b");
  });

  test("of a command's layer, times outside its run count in the content digest", async () => {
    const from = fresh("from");
    const runs = [
      { fromNs: 10_000_000_000n, untilNs: 20_000_000_000n },
      { fromNs: 40_000_000_000n, untilNs: 40_000_000_000n },
    ];
    const long = `l${"x".repeat(120)}`;
    mkdirSync(join(from, "d"));
    writeFileSync(join(from, "d/f"), "same");
    symlinkSync("f", join(from, "d", long));
    const dated = async (path: string, seconds: number): Promise<LayerMeasure["contentDigest"]> => {
      for (const name of ["d/f", `d/${long}`, "d"]) lutimesSync(join(from, name), 15, 15);
      lutimesSync(join(from, path), seconds, seconds);
      const options = { directory: from, marks: "trusted", runs } as const;
      const { contentDigest } = await measureLayer(native, options, signal);
      return contentDigest;
    };
    // One member that the addon writes, one with a long name, and a directory.
    for (const path of ["d/f", `d/${long}`, "d"]) {
      const now = await dated(path, 15);
      expect([await dated(path, 10), await dated(path, 20), await dated(path, 40)]).toEqual([now, now, now]);
      const others = [await dated(path, 9.999), await dated(path, 20.001), await dated(path, 0)];
      expect(new Set([now, ...others]).size).toBe(4);
    }
  });

  test("counts content, not time, in the content digest", async () => {
    const from = fresh("from");
    writeFileSync(join(from, "f"), "same");
    const measure = (): Promise<LayerMeasure> => measureLayer(native, { directory: from, marks: "trusted" }, signal);
    const first = await measure();
    utimesSync(join(from, "f"), 1, 1);
    const second = await measure();
    expect(second.contentDigest).toBe(first.contentDigest);
    expect(second.diffId).not.toBe(first.diffId);
    chmodSync(join(from, "f"), 0o600);
    expect((await measure()).contentDigest).not.toBe(first.contentDigest);
  });

  test.each([
    { name: "shrinks", bytes: 2 },
    { name: "grows", bytes: 9 },
    { name: "shrinks to nothing", bytes: 0 },
  ])("fails when a file $name before it is read", async ({ bytes }) => {
    const from = fresh("from");
    mkdirSync(join(from, "d"));
    writeFileSync(join(from, "d/f"), "12345");
    const scan = native.scanTreeSync(-100, { path: from, ...PACK_SCAN }).columns;
    truncateSync(join(from, "d/f"), bytes);
    const measured = measureLayer(native, { directory: from, marks: "trusted", scan }, signal);
    await expect(measured).rejects.toThrow(/Cannot pack "d\/f": its size changed/);
  });

  test("fails when a file is gone before it is read", async () => {
    const from = fresh("from");
    writeFileSync(join(from, "f"), "12345");
    const scan = native.scanTreeSync(-100, { path: from, ...PACK_SCAN }).columns;
    rmSync(join(from, "f"));
    const measured = measureLayer(native, { directory: from, marks: "trusted", scan }, signal);
    await expect(measured).rejects.toMatchObject({ code: "snapshot/failed" });
  });

  test("a symlink in the place of a directory leads nowhere", async () => {
    const from = fresh("from");
    mkdirSync(join(from, "d"));
    writeFileSync(join(from, "d/f"), "12345");
    const scan = native.scanTreeSync(-100, { path: from, ...PACK_SCAN }).columns;
    rmSync(join(from, "d"), { recursive: true });
    writeFileSync(join(fresh("other"), "f"), "54321");
    symlinkSync("../other", join(from, "d"));
    const measured = measureLayer(native, { directory: from, marks: "trusted", scan }, signal);
    await expect(measured).rejects.toMatchObject({ code: "snapshot/failed" });
  });

  test("columns that do not fit together are refused", () => {
    const from = fresh("from");
    writeFileSync(join(from, "f"), "1");
    const dirfd = native.openPath(from, O_PATH | O_DIRECTORY);
    const scan = native.scanTreeSync(dirfd, PACK_SCAN);
    const plan = packPlan(scan, { marks: "trusted" }, "content");
    const columns = { ...scan.columns };
    expect(() =>
      native.packTreeSync(dirfd, { ...plan, columns: { ...columns, flags: columns.flags.subarray(1) } }),
    ).toThrow(RangeError);
    expect(() =>
      native.packTreeSync(dirfd, { ...plan, columns: { ...columns, nameEnd: Uint32Array.of(0, 99) } }),
    ).toThrow(RangeError);
    expect(() =>
      native.packTreeSync(dirfd, { ...plan, columns: { ...columns, parent: Int32Array.of(-1, 1) } }),
    ).toThrow(RangeError);
    expect(new TreeScan(columns).count).toBe(2);
    native.close(dirfd);
  });
});

describe("the pool", () => {
  test("measures several layers at a time and stops when told to", async () => {
    const from = fresh("from");
    for (let index = 0; index < 300; index += 1) writeFileSync(join(from, `f${index}`), `${index}`);
    writeFileSync(join(from, "large"), Buffer.alloc(40_000_000, 7));
    const pool = new PackPool({ native, maxLayers: 2 });
    const options = { directory: from, marks: "trusted" } as const;
    const results = await Promise.all([1, 2, 3].map(() => pool.measure(options, signal)));
    const here = await measureLayer(native, options, signal);
    expect(results).toEqual([here, here, here]);
    await expect(pool.measure({ ...options, directory: join(directory, "none") }, signal)).rejects.toMatchObject({
      code: "ENOENT",
    });
    const stop = new AbortController();
    const stopped = pool.measure(options, stop.signal);
    stop.abort(new Error("enough"));
    await expect(stopped).rejects.toThrow("enough");
    expect(await pool.measure(options, signal)).toEqual(here);
  });
});

test.each([".wh.f", "d/.wh.f", "d/.wh..wh..opq", ".wh.d/f"])("a file called %s is no part of a layer", async (path) => {
  const at = fresh("named");
  mkdirSync(join(at, path, ".."), { recursive: true });
  writeFileSync(join(at, path), "");
  const measured = measureLayer(native, { directory: at, marks: "trusted" }, signal);
  await expect(measured).rejects.toMatchObject({ code: "image/reserved" });
});

test.skipIf(!isRoot).each([
  { name: "an access control list", key: "system.posix_acl_access", value: ACCESS_LIST },
  { name: "a file capability", key: "security.capability", value: CAPABILITY },
  { name: "an attribute of root's", key: "trusted.note", value: Buffer.from("1") },
])("$name is content", async ({ key, value }) => {
  const at = fresh("attributes");
  writeFileSync(join(at, "f"), "");
  const before = await measureLayer(native, { directory: at, marks: "trusted" }, signal);
  native.setXattr(-100, join(at, "f"), key, value);
  const after = await measureLayer(native, { directory: at, marks: "trusted" }, signal);
  expect(after.contentDigest).not.toBe(before.contentDigest);
});

test("a socket is content, although no tar has it", async () => {
  const at = fresh("sockets");
  for (const name of ["a", "z"]) writeFileSync(join(at, name), "");
  const options = { directory: at, marks: "trusted" } as const;
  const before = await measureLayer(native, options, signal);
  native.mknodat(-100, join(at, "s"), S_IFSOCK | 0o644);
  const after = await measureLayer(native, options, signal);
  expect(after.diffId).toBe(before.diffId);
  expect(after.contentDigest).not.toBe(before.contentDigest);
});
