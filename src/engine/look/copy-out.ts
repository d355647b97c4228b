import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BuildError } from "../../../lib/core/errors.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import { copyTree } from "../../export/copy-tree.ts";
import { makeDestination, writingInto } from "../../export/make-destination.ts";
import { runFileOp } from "../../../solver/ops/file/run-file-op.ts";
import { plainCopy } from "../../../solver/graph/plain-copy.ts";
import { type TreeParts, treeTools } from "../flatten.ts";
import { notFound, openImageFiles } from "./image-files.ts";

/**
 * The target of a copy: a path of the host's, or a stream that takes a tar. `isPlain`: without devices, fifos, setuid and
 * setgid bits.
 */
export type CopyTarget =
  | { readonly kind: "path"; readonly path: string; readonly isPlain?: boolean }
  | { readonly kind: "tar"; readonly stream: Writable };

/**
 * Copies a file or directory of an image to the host, by docker's rules: into a directory that exists, else under the
 * target's own name; a source that ends in `/.` is a directory's content. Links in the source's path are followed.
 * @throws {BuildError} `solver/not-found`, `export/failed`
 */
export async function copyOut(
  parts: TreeParts,
  image: Pick<StoredImage, "layers">,
  { source, target }: { readonly source: string; readonly target: CopyTarget },
  signal: AbortSignal,
): Promise<void> {
  const { native, snapshotter } = parts;
  await using files = await openImageFiles(parts, image, signal);
  const { entry, missing } = files.view.tree.resolve(source, "follow");
  if (missing.length > 0) throw notFound(source);
  const isDirectory = entry === undefined || entry.directory !== undefined;
  const isContent = isDirectory && (entry === undefined || source.endsWith("/."));
  const place = placeOf(target, {
    name: entry === undefined ? "" : basename(source.replace(/\/+$/, "")),
    isDirectory,
    isContent,
  });
  await using active = await snapshotter.prepare([], signal);
  const { directories } = active;
  const [directory] = directories;
  if (directory === undefined) throw new Error("A snapshot without a directory");
  await runFileOp(
    {
      kind: "file",
      base: "scratch",
      actions: [plainCopy({ input: 0, source, destination: `/${place.name}` })],
    },
    { directories, marks: snapshotter.marks, source: () => files.view, selected: () => undefined },
    { native },
    signal,
  );
  if (target.kind === "tar") {
    const tar = treeTools(parts).packDirectory(directory, { mtimeSeconds: undefined }, signal);
    await pipeline(tar, target.stream, { signal });
    return;
  }
  makeDestination(place.directory);
  await writingInto(place.directory, () =>
    copyTree(directory, place.directory, { native, mtimeSeconds: undefined, isPlain: target.isPlain }, signal),
  );
}

/** Finds the destination directory, and the copy's name in it; an empty name stands for a directory's content. */
function placeOf(
  target: CopyTarget,
  {
    name,
    isDirectory,
    isContent,
  }: { readonly name: string; readonly isDirectory: boolean; readonly isContent: boolean },
): { readonly directory: string; readonly name: string } {
  if (target.kind === "tar") return { directory: "", name: isContent ? "" : name };
  const { path } = target;
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isDirectory() === true) return { directory: path, name: isContent ? "" : name };
  if (!isDirectory && path.endsWith("/")) {
    throw new BuildError("export/failed", `Cannot copy to ${JSON.stringify(path)}: there is no such directory`);
  }
  if (isDirectory && status !== undefined) {
    throw new BuildError("export/failed", `Cannot copy a directory to ${JSON.stringify(path)}: it is a file`);
  }
  return isDirectory ? { directory: path, name: "" } : { directory: dirname(path), name: basename(join(path)) };
}
