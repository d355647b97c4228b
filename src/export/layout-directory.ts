import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { hexOf } from "../../lib/core/digest.ts";
import { BuildError, errnoOf } from "../../lib/core/errors.ts";
import { readSettings } from "../../lib/core/given-file.ts";
import { escapeAsGo } from "../../lib/core/image-config.ts";
import { parseManifestDocument } from "../../lib/core/manifest.ts";
import { type Descriptor, MEDIA_TYPES } from "../../lib/core/oci.ts";
import type { Leases } from "../../lib/store/store.ts";
import type { ReadableBlob } from "./exporter.ts";
import { makeDestination } from "./make-destination.ts";

export const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}';

export function indexJson(entries: readonly Descriptor[]): string {
  return escapeAsGo(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: entries }));
}

export interface LayoutDirectory {
  /** Made when missing. */
  readonly directory: string;
  readonly blobs: readonly ReadableBlob[];
  /** Entries for index.json. */
  readonly entries: readonly Descriptor[];
}

/**
 * Writes images into a directory that may hold others. index.json comes last and is renamed into place: a reader sees
 * all of the image or none of it. Other builds may write into the same directory: blobs have temporary names of their
 * own, and a lease covers the update of index.json.
 */
export async function writeLayout(
  { directory, blobs, entries }: LayoutDirectory,
  leases: Leases,
  signal: AbortSignal,
): Promise<void> {
  const folder = join(directory, "blobs", "sha256");
  makeDestination(folder);
  for (const blob of blobs) {
    const path = join(folder, hexOf(blob.descriptor.digest));
    const there = await stat(path).catch(() => undefined);
    if (there?.size === blob.descriptor.size) continue;
    await replace(path, (partial) =>
      pipeline(blob.open(signal), createWriteStream(partial, { flags: "wx" }), { signal }),
    );
  }
  using _lease = await leases.acquire(`layout ${await realpath(directory)}`, signal);
  await replace(join(directory, "oci-layout"), (partial) => writeFile(partial, LAYOUT_FILE));
  const kept = await otherImages(directory, entries);
  await replace(join(directory, "index.json"), (partial) => writeFile(partial, indexJson([...kept, ...entries])));
}

/** Writes a file under a temporary name beside its place, and renames it when it is complete. */
async function replace(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.${randomUUID()}.partial`;
  try {
    await write(partial);
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

/**
 * Lists the directory's present entries, except those that new ones replace: by name, or by image.
 * @throws {BuildError} `export/failed` when it lists something else, which would be lost
 */
async function otherImages(directory: string, entries: readonly Descriptor[]): Promise<readonly Descriptor[]> {
  const path = join(directory, "index.json");
  let bytes: Buffer;
  try {
    bytes = readSettings({ path, refuse: () => notAnIndex(path) });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  const nameOf = (descriptor: Descriptor): string | undefined => descriptor.annotations?.["io.containerd.image.name"];
  const names = new Set(entries.map(nameOf));
  const digests = new Set(entries.map((entry) => entry.digest));
  return listedIn(bytes, path).filter(
    (old) => !(nameOf(old) === undefined ? digests.has(old.digest) : names.has(nameOf(old))),
  );
}

function listedIn(bytes: Buffer, path: string): readonly Descriptor[] {
  let cause: unknown;
  try {
    // A layout's index may omit its media type.
    const document = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, path);
    if (document.kind === "index") return document.index.manifests;
  } catch (error) {
    cause = error;
  }
  throw notAnIndex(path, cause);
}

function notAnIndex(path: string, cause?: unknown): BuildError {
  return new BuildError("export/failed", `Cannot add an image to the layout that "${path}" lists: it is no index`, {
    hint: "write into another directory, or remove the file",
    cause,
  });
}
