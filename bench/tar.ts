/**
 * Measures packing, unpacking and compressing a layer: `node bench/tar.ts [files]`. Prints the best of three runs, in
 * milliseconds.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateNative } from "../lib/native/locate.ts";
import { compress } from "../lib/tar/compress.ts";
import { measureLayer } from "../lib/tar/measure.ts";
import { packLayer } from "../lib/tar/pack.ts";
import { unpackLayer } from "../lib/tar/unpack.ts";

const native = locateNative();
const signal = new AbortController().signal;
const count = Number(process.argv[2] ?? 30_000);
const root = mkdtempSync(join(tmpdir(), "kiln-bench-"));
const marks = "trusted";

async function best(name: string, work: (run: number) => unknown): Promise<void> {
  let least = Infinity;
  for (let run = 0; run < 3; run += 1) {
    const start = performance.now();
    await work(run);
    least = Math.min(least, performance.now() - start);
  }
  console.log(`${name.padEnd(40)} ${least.toFixed(1).padStart(8)} ms`);
}

async function drain(stream: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const chunk of stream) void chunk;
}

try {
  const many = join(root, "many");
  for (let index = 0; index < count; index += 1) {
    const folder = join(many, `d${index % 100}`);
    if (index < 100) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${index}`), Buffer.alloc(1000, index % 256));
  }
  const large = join(root, "large");
  mkdirSync(large);
  for (let part = 0; part < 128; part += 1) writeFileSync(join(large, "f"), noise(4 << 20, part), { flag: "a" });
  const tiny = Array.from({ length: 10 }, (_, index) => join(root, `tiny${index}`));
  for (const path of tiny) {
    mkdirSync(path);
    writeFileSync(join(path, "f"), "x");
  }

  await best(`measureLayer, ${count} files of 1 kB`, () => measureLayer(native, { directory: many, marks }, signal));
  await best("measureLayer, one file of 512 MiB", () => measureLayer(native, { directory: large, marks }, signal));
  await best("measureLayer, ten layers of one file", async () => {
    for (const directory of tiny) await measureLayer(native, { directory, marks }, signal);
  });
  await best(`unpackLayer, ${count} files of 1 kB`, async (run) => {
    const directory = join(root, `to${run}`);
    mkdirSync(directory);
    await unpackLayer(packLayer(native, { directory: many, marks }, signal), { native, directory, marks }, signal);
  });
  for (const kind of ["gzip", "zstd"] as const) {
    const packed = (): AsyncIterable<Buffer> => packLayer(native, { directory: large, marks }, signal);
    await best(`${kind} of 512 MiB of noise, 2 threads`, () =>
      drain(compress(packed(), { kind, parallel: 2 }, signal)),
    );
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}

/** Makes bytes that do not compress, the same on every run. */
function noise(length: number, seed: number): Buffer {
  const words = new Uint32Array(length / 4);
  let state = seed * 2_654_435_761 + 1;
  for (let at = 0; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return Buffer.from(words.buffer);
}
