/**
 * Measures the addon's batches: `node bench/native.ts [files]`. Prints the best of five runs of each, in milliseconds.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AT_FDCWD, O_DIRECTORY, O_PATH, RESOLVE_BENEATH } from "../lib/native/constants.ts";
import { locateNative } from "../lib/native/locate.ts";

const native = locateNative();
const count = Number(process.argv[2] ?? 10_000);
const sizeBytes = 1000;
const root = mkdtempSync(join(tmpdir(), "kiln-bench-"));

async function best(name: string, work: (run: number) => Promise<unknown>): Promise<void> {
  let least = Infinity;
  for (let run = 0; run < 5; run += 1) {
    const start = performance.now();
    await work(run);
    least = Math.min(least, performance.now() - start);
  }
  console.log(`${name.padEnd(40)} ${least.toFixed(1).padStart(8)} ms`);
}

try {
  for (let index = 0; index < count; index += 1) {
    const folder = join(root, "from", `d${index % 100}`);
    if (index < 100) mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file-${index}`), Buffer.alloc(sizeBytes, index % 256));
  }
  const from = native.openPath(join(root, "from"), O_PATH | O_DIRECTORY);
  await best(`scanTree, ${count} files`, () => native.scanTree(from));
  await best("scanTree with xattrs and links", () => native.scanTree(from, { xattrs: true, links: true }));

  const scan = await native.scanTree(from);
  const files = Array.from({ length: scan.count }, (_, index) => index).filter(
    (index) => scan.columns.size[index] === sizeBytes,
  );
  const names = files.map((index) => scan.path(index));
  const offsets = Float64Array.from(names, (_, index) => index * sizeBytes);
  const sizes = new Float64Array(names.length).fill(sizeBytes);
  const into = Buffer.alloc(names.length * sizeBytes);
  const { columns } = scan;
  const kept = { bytes: new Uint8Array(0), offsets: new Float64Array(scan.count).fill(-1) };
  await best("digestRows, 1 kB each", () => native.digestRows(from, { columns, rows: Int32Array.from(files), kept }));

  const metadata = {
    modes: new Uint32Array(names.length).fill(0o644),
    uids: new Uint32Array(names.length),
    gids: new Uint32Array(names.length),
    mtimesNs: new BigInt64Array(names.length),
  };
  const target = (kind: string, run: number): number => {
    for (let index = 0; index < 100; index += 1)
      mkdirSync(join(root, `${kind}${run}`, `d${index}`), { recursive: true });
    return native.openPath(join(root, `${kind}${run}`), O_PATH | O_DIRECTORY);
  };
  await best("copyFiles, 100 mkdir included", (run) =>
    native.copyFiles(from, target("copy", run), { from: names, to: names, ...metadata }),
  );
  await best("writeFiles, 100 mkdir included", (run) =>
    native.writeFiles(target("write", run), {
      names,
      data: into,
      offsets,
      sizes,
      resolve: RESOLVE_BENEATH,
      ...metadata,
    }),
  );
  await best("removeTree", (run) => native.removeTree(AT_FDCWD, join(root, `copy${run}`)));
} finally {
  rmSync(root, { recursive: true, force: true });
}
