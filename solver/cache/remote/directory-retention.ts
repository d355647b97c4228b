import { readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";

const AT_ONCE = 16;
const HEX = /[0-9a-f]{64}/g;

export interface Removed {
  readonly entries: number;
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Removes from a directory cache the files that no export has written, or found there, since `before` (milliseconds
 * since the Unix epoch): entries, then blobs that no remaining entry names.
 *
 * Other processes may be writing. They touch each file that they write or find, so it is younger than `before`, which
 * is days ago. If one finds a blob at the very moment of its removal, an entry with a missing blob remains: a build
 * that uses it gets a warning, and runs the step.
 */
export async function removeUnused(directory: string, before: number, signal: AbortSignal): Promise<Removed> {
  const entries = await filesIn(join(directory, "entries"), signal);
  const named = new Set<string>();
  const read = async (file: CacheFile): Promise<void> => {
    const text = await readFile(file.path, "utf8").catch(() => "");
    for (const [hex] of text.matchAll(HEX)) named.add(hex);
  };
  const fresh = entries.filter(({ mtimeMs }) => mtimeMs >= before);
  await mapLimit(fresh, AT_ONCE, signal, read);
  // A record has two names, by definition and by content, and an export looks for the first only. Other names in the
  // text of the second one need not stay: it may be of another record with the same contents.
  const old = Map.groupBy(
    entries.filter(({ mtimeMs }) => mtimeMs < before),
    ({ name }) => (named.has(/[0-9a-f]{64}/.exec(name)?.[0] ?? "") ? "named" : "gone"),
  );
  await mapLimit(old.get("named") ?? [], AT_ONCE, signal, read);
  const gone = old.get("gone") ?? [];
  await mapLimit(gone, AT_ONCE, signal, ({ path }) => rm(path, { force: true }));
  const blobs = (await filesIn(join(directory, "blobs/sha256"), signal)).filter(
    (file) => file.mtimeMs < before && !named.has(file.name),
  );
  await mapLimit(blobs, AT_ONCE, signal, ({ path }) => rm(path, { force: true }));
  const bytes = [...gone, ...blobs].reduce((sum, { size }) => sum + size, 0);
  return { entries: gone.length, blobs: blobs.length, bytes };
}

interface CacheFile {
  readonly name: string;
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** Lists files, including partial files of killed writers. */
async function filesIn(directory: string, signal: AbortSignal): Promise<readonly CacheFile[]> {
  const names = await readdir(directory);
  const found = await mapLimit(names, AT_ONCE, signal, async (name) => {
    const path = join(directory, name);
    try {
      const status = await stat(path);
      // Reading a pipe or a device might never end.
      return status.isFile() ? [{ name, path, size: status.size, mtimeMs: status.mtimeMs }] : [];
    } catch (error) {
      // Another process renamed or removed it meanwhile.
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  });
  return found.flat();
}
