import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { Writable } from "node:stream";
import { DigestStream, isDigest } from "../../../lib/core/digest.ts";
import { BuildError, errnoOf } from "../../../lib/core/errors.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { ActionFile, WorkerProgram } from "../../../solver/remote/action.ts";
import type { BuildEnvironment } from "../environment.ts";

/** The parts of kiln that a worker needs, by their folder in the installation: it need not have anything installed. */
const PARTS = [
  "bin/kiln",
  "build/kiln.blob",
  "build/kiln.cjs",
  "build/kiln.node",
  "build/kiln-runtime",
  "build/undici.cjs",
];
const EXECUTABLE = new Set(["bin/kiln", "build/kiln-runtime"]);
const LATE = "build/late";

/**
 * Finds the program that runs steps on workers: this kiln with its own Node. The digests of its files are remembered, because
 * Node alone has a hundred megabytes.
 * @throws {BuildError} `remote/unsupported` when this kiln is not built
 */
export async function workerProgram(
  { runtimePath, arch }: Pick<BuildEnvironment, "runtimePath" | "arch">,
  store: Pick<Store, "facts">,
  signal: AbortSignal,
): Promise<WorkerProgram> {
  const home = dirname(dirname(runtimePath));
  try {
    const late = (await readdir(join(home, LATE))).filter((name) => name.endsWith(".cjs")).toSorted();
    const own = [...PARTS, ...late.map((name) => `${LATE}/${name}`)].map((path) => ({
      path,
      source: join(home, path),
      isExecutable: EXECUTABLE.has(path),
    }));
    const node = { path: `node_modules/node-linux-${arch}/bin/node`, source: process.execPath, isExecutable: true };
    const files: ActionFile[] = [];
    for (const { path, source, isExecutable } of [...own, node]) {
      files.push({ path, isExecutable, blob: await fileBlob(source, store, signal) });
    }
    return { files, command: ["./bin/kiln"] };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new BuildError("remote/unsupported", "Cannot send kiln to workers: it is not built here", {
      hint: "npm run build makes what is sent",
      cause: error,
    });
  }
}

async function fileBlob(
  path: string,
  { facts }: Pick<Store, "facts">,
  signal: AbortSignal,
): Promise<ActionFile["blob"]> {
  const { size, mtimeNs, ino } = await stat(path, { bigint: true });
  const key = `${path} ${size} ${mtimeNs} ${ino}`;
  const open = (s: AbortSignal): AsyncIterable<Uint8Array> => createReadStream(path, { signal: s });
  const known = new TextDecoder().decode(facts.get("worker-program", key)?.value);
  if (isDigest(known)) return { digest: known, size: Number(size), open };
  const digesting = new DigestStream();
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  await pipeline(createReadStream(path), digesting, nowhere, { signal });
  const { digest, sizeBytes } = digesting.result();
  facts.set("worker-program", key, { value: new TextEncoder().encode(digest) });
  return { digest, size: sizeBytes, open };
}
