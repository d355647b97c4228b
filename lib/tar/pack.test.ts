import { spawnSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Digester, digestOf } from "../core/digest.ts";
import { O_DIRECTORY, O_PATH } from "../native/constants.ts";
import { locateNative } from "../native/locate.ts";
import { compress } from "./compress.ts";
import { BLOCK } from "./entry.ts";
import { measureLayer } from "./measure.ts";
import { lendLayer, PACK_SCAN, packLayer, packPlan, type PackOptions } from "./pack.ts";

const native = locateNative();
const isRoot = process.getuid?.() === 0;
const { signal } = new AbortController();

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kiln-pack-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const options = (more: Partial<PackOptions> = {}): PackOptions => ({ directory, marks: "trusted", ...more });

/** The first bytes of the layer's tar: the headers of its first member. */
async function beginning(): Promise<Buffer> {
  for await (const chunk of packLayer(native, options(), signal)) return chunk;
  throw new Error("a tar without bytes");
}

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("headers", () => {
  const deep = `${"d".repeat(120)}/${"f".repeat(90)}`;
  test.each([
    { name: "a plain file", path: "f", blocks: 1 },
    { name: "a path of 100 letters", path: "f".repeat(100), blocks: 1 },
    { name: "a long path without a place to split", path: "f".repeat(101), blocks: 3 },
    { name: "an accent", path: "caf\u00e9", blocks: 3 },
    { name: "a link of 100 letters", path: "l", link: "t".repeat(100), blocks: 1 },
    { name: "a long link", path: "l", link: "t".repeat(101), blocks: 3 },
    { name: "one byte less than 8 GiB", path: "f", size: 8 * 2 ** 30 - 1, blocks: 1 },
    { name: "8 GiB", path: "f", size: 8 * 2 ** 30, blocks: 3 },
    { name: "1969", path: "f", seconds: -1n, blocks: 3 },
    { name: "2100", path: "f", seconds: 4_102_444_800n, blocks: 1 },
    { name: "2243", path: "f", seconds: 8_600_000_000n, blocks: 3 },
  ])("$name takes $blocks blocks", async ({ path, link, size = 0, seconds = 0n, blocks }) => {
    if (link === undefined) writeFileSync(join(directory, path), "");
    else symlinkSync(link, join(directory, path));
    if (size > 0) truncateSync(join(directory, path), size);
    native.utimensat(-100, join(directory, path), seconds * 1_000_000_000n);
    const bytes = await beginning();
    // A header of three blocks begins with an extended one.
    expect(bytes.toString("latin1", 156, 157)).toBe(blocks === 3 ? "x" : link === undefined ? "0" : "2");
    expect(bytes.toString("latin1", (blocks - 1) * BLOCK + 257, (blocks - 1) * BLOCK + 265)).toBe("ustar\x0000");
  });

  test("a long path is split where Go splits it", async () => {
    mkdirSync(join(directory, deep, ".."), { recursive: true });
    writeFileSync(join(directory, deep), "");
    const listed = spawnSync("tar", ["-tf", "-"], { input: await whole(options()), encoding: "utf8" });
    expect([listed.stdout, listed.stderr]).toEqual([`${"d".repeat(120)}/\n${deep}\n`, ""]);
    const bytes = await whole(options());
    const header = bytes.subarray(3 * BLOCK);
    expect(header.toString("latin1", 0, 100).replace(/\0+$/, "")).toBe("f".repeat(90));
    expect(header.toString("latin1", 345, 500).replace(/\0+$/, "")).toBe("d".repeat(120));
  });

  test.skipIf(!isRoot)("the extended header is named and written as Go's archive/tar does", async () => {
    mkdirSync(join(directory, "usr"));
    writeFileSync(join(directory, "usr/ping"), "");
    native.setXattr(-100, join(directory, "usr/ping"), "security.capability", CAPABILITY);
    const header = (await whole(options())).subarray(BLOCK);
    expect(header.toString("latin1", 0, 30).replaceAll("\0", "")).toBe("usr/PaxHeaders.0/ping");
    expect(header.toString("latin1", 512, 549)).toBe("57 SCHILY.xattr.security.capability=\x01");
    expect(header.toString("latin1", 100, 108)).toBe("0000000\0");
    expect(header.toString("latin1", 136, 148)).toBe("00000000000\0");
  });
});

const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");

async function whole(what: PackOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of packLayer(native, what, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("the stream", () => {
  /** More than a pipe holds. */
  const LARGE = 12 << 20;

  test("ends with the sums of all its bytes, which are those of a measured layer", async () => {
    writeFileSync(join(directory, "large"), Buffer.alloc(LARGE, "x"));
    const digester = new Digester();
    const stream = lendLayer(native, options(), signal);
    let next = await stream.next();
    for (; next.done !== true; next = await stream.next()) digester.update(next.value);
    const { diffId, sizeBytes } = next.value;
    expect({ diffId: digester.digest(), sizeBytes: digester.sizeBytes }).toEqual({ diffId, sizeBytes });
    expect(await measureLayer(native, options(), signal)).toMatchObject({ diffId, sizeBytes });
  });

  test("of an empty directory is the end of a tar", async () => {
    expect(await whole(options())).toEqual(Buffer.alloc(2 * BLOCK));
  });

  test("a reader that stops half-way ends the packing and leaves nothing open", async () => {
    writeFileSync(join(directory, "large"), Buffer.alloc(LARGE, "x"));
    const before = openFiles();
    for await (const chunk of packLayer(native, options(), signal)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(openFiles()).toBe(before);
  });

  test.each(["before the first chunk", "while the reader holds a chunk"])(
    "an abort %s ends both sides",
    async (when) => {
      writeFileSync(join(directory, "large"), Buffer.alloc(LARGE, "x"));
      const before = openFiles();
      const stop = new AbortController();
      const stream = lendLayer(native, options(), stop.signal);
      if (when !== "before the first chunk") await stream.next();
      stop.abort(new Error("enough"));
      await expect(stream.next()).rejects.toThrow("enough");
      expect(openFiles()).toBe(before);
    },
  );

  test("an abort wakes a packing that waits for a reader", async () => {
    writeFileSync(join(directory, "large"), Buffer.alloc(LARGE, "x"));
    const before = openFiles();
    const stop = new AbortController();
    const stream = lendLayer(native, options(), stop.signal);
    await stream.next();
    stop.abort(new Error("enough"));
    // The generator stays where it is: its directory is the only thing left open.
    await expect.poll(openFiles).toBe(before + 1);
    await stream.return({ diffId: digestOf(""), sizeBytes: 0 });
    expect(openFiles()).toBe(before);
  });

  test("a file that cannot be read is told by name, behind what could", async () => {
    writeFileSync(join(directory, "a"), Buffer.alloc(LARGE, "x"));
    writeFileSync(join(directory, "b"), "12345");
    const { columns: scan } = native.scanTreeSync(-100, { path: directory, ...PACK_SCAN });
    truncateSync(join(directory, "b"), 3);
    let sizeBytes = 0;
    const reading = (async () => {
      for await (const chunk of lendLayer(native, options({ scan }), signal)) sizeBytes += chunk.length;
    })();
    await expect(reading).rejects.toMatchObject({
      code: "snapshot/failed",
      message: 'Cannot pack "b": its size changed while it was read',
    });
    expect(sizeBytes).toBeGreaterThan(8 << 20);
  });

  test("many at once, each compressed by the pool that they do not wait in, all come to their end", async () => {
    writeFileSync(join(directory, "large"), Buffer.alloc(4 << 20, "x"));
    const packed = await Promise.all(
      Array.from({ length: 12 }, async () => {
        let sizeBytes = 0;
        const stream = compress(lendLayer(native, options(), signal), { kind: "gzip", parallel: 2 }, signal);
        for await (const chunk of stream) sizeBytes += chunk.length;
        return sizeBytes;
      }),
    );
    expect(new Set(packed).size).toBe(1);
  });

  test("readers of many layers that take turns do not lock each other out", async () => {
    writeFileSync(join(directory, "large"), Buffer.alloc(LARGE, "x"));
    const streams = Array.from({ length: 8 }, () => lendLayer(native, options(), signal));
    let left = streams.length;
    while (left > 0) {
      left = 0;
      for (const stream of streams) if ((await stream.next()).done !== true) left += 1;
    }
    expect(left).toBe(0);
  });
});

describe("an output", () => {
  async function packInto(fd: number, kind: "file" | "pipe"): Promise<unknown> {
    writeFileSync(join(directory, "large"), Buffer.alloc(3 << 20, "x"));
    const dirfd = native.openPath(directory, O_PATH | O_DIRECTORY);
    const plan = packPlan(native.scanTreeSync(dirfd, PACK_SCAN), { marks: "trusted" }, "tar only");
    try {
      return await native.packTree(dirfd, plan, new Int32Array(1), { fd, kind });
    } finally {
      native.close(dirfd);
    }
  }

  test("without a reader fails with that reason, and names no file", async () => {
    const { readEnd, writeEnd } = native.pipe();
    native.close(readEnd);
    await expect(packInto(writeEnd, "pipe")).rejects.toMatchObject({
      code: "EPIPE",
      syscall: "write",
      path: undefined,
    });
    native.close(writeEnd);
  });

  test("on a full disk is told as what it is", async () => {
    const full = openSync("/dev/full", "w");
    await expect(packInto(full, "file")).rejects.toMatchObject({ code: "ENOSPC", syscall: "write", path: undefined });
    closeSync(full);
  });
});
