import { statSync } from "node:fs";
import { resolve } from "node:path";
import type { Readable } from "node:stream";
import { BuildError } from "../../../lib/core/errors.ts";
import { openGiven } from "../../../lib/core/given-file.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import { decompress, sniffCompression } from "../../../lib/tar/compression.ts";
import { unpackArchive } from "../../../lib/tar/unpack.ts";
import type { Engine } from "../engine.ts";
import { LayoutFiles } from "./layout-files.ts";
import { type LoadedImage, loadFiles } from "./load-layout.ts";
import { Scratch } from "../scratch.ts";

export type LoadParts = Pick<Engine, "environment" | "native" | "store" | "scratchPath">;

/** Loads images of an archive (a path, or `-` for standard input) or a layout directory into the store. */
export async function loadImages(
  engine: LoadParts,
  { source, platform }: { readonly source: string; readonly platform?: Platform | undefined },
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const { environment, native, store } = engine;
  const path = resolve(environment.workingDirectory, source);
  const status = source === "-" ? undefined : statSync(path, { throwIfNoEntry: false });
  if (source !== "-" && status === undefined) {
    throw new BuildError("context/not-found", `Cannot load ${JSON.stringify(source)}: there is no such file`);
  }
  if (status?.isDirectory() === true) {
    using files = new LayoutFiles(native, path, "anywhere");
    return await loadFiles(store, files, platform, signal);
  }
  const refuse = (why: string): BuildError =>
    new BuildError("context/unsupported", `Cannot load ${JSON.stringify(source)}: ${why}`);
  return loadArchive(engine, source === "-" ? environment.stdin() : openGiven({ path, refuse }), platform, signal);
}

/** Loads images of an archive that comes as a stream. */
export async function loadArchive(
  engine: LoadParts,
  bytes: Readable,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<LoadedImage[]> {
  const { environment, native, store } = engine;
  await using scratch = new Scratch(engine.scratchPath());
  const directory = scratch.directory();
  const { kind, stream } = await sniffCompression(bytes, signal);
  const owner = { kind: "fixed", uid: environment.uid, gid: environment.gid } as const;
  await unpackArchive(decompress(stream, kind, signal), { native, directory, owner }, signal);
  using files = new LayoutFiles(native, directory, "inside");
  return await loadFiles(store, files, platform, signal);
}
