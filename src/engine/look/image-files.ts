import { BuildError } from "../../../lib/core/errors.ts";
import type { StoredImage } from "../../../lib/store/model.ts";
import type { Directory } from "../../../lib/tree/merged-tree.ts";
import type { SourceView } from "../../../lib/tree/source-view.ts";
import type { TreeNode } from "../../../lib/tree/tree-node.ts";
import { stackView } from "../../../solver/ops/file/stack-view.ts";
import type { Engine } from "../engine.ts";

/** The parts of an engine for reading an image's files. */
export type LookParts = Pick<Engine, "native" | "snapshotter" | "images">;

/** The facts about an image that its files follow from. */
export type LookedAt = Pick<StoredImage, "config" | "layers">;

/** A file of an image. */
export interface ImageFile {
  /** Path from the root, without a slash in front; the root's is empty. */
  readonly path: string;
  readonly node: TreeNode;
}

/** An image's files as one tree. Dispose it to release its layers. */
export interface ImageFiles extends AsyncDisposable {
  readonly view: SourceView;
}

/** Opens an image's files. Layers that were never unpacked are unpacked first. */
export async function openImageFiles(
  parts: LookParts,
  image: Pick<LookedAt, "layers">,
  signal: AbortSignal,
): Promise<ImageFiles> {
  const { native, snapshotter, images } = parts;
  await images.materialize(image.layers, undefined, signal);
  await using opened = new AsyncDisposableStack();
  const { directories } = opened.use(await snapshotter.view(image.layers, signal));
  const view = opened.use(stackView({ native, directories, marks: snapshotter.marks, name: "the image" }));
  const kept = opened.move();
  return { view, [Symbol.asyncDispose]: async () => kept.disposeAsync() };
}

/**
 * Lists a path: a file alone, or a directory's content. Links on the way are followed, inside the image.
 * @param depth `all` lists the directories below as well
 * @throws {BuildError} `solver/not-found`
 */
export async function listImageFiles(
  { view }: ImageFiles,
  path: string,
  depth: "one" | "all",
  signal: AbortSignal,
): Promise<readonly ImageFile[]> {
  const { parent, entry, missing } = view.tree.resolve(path, "keep");
  if (missing.length > 0) throw notFound(path);
  if (entry !== undefined && entry.directory === undefined) {
    const node = await view.entry(parent, entry.name, signal);
    if (node === undefined) throw notFound(path);
    return [{ path: joined(parent.path, entry.name), node }];
  }
  const directory: Directory = entry?.directory ?? parent;
  const top = await (depth === "all" ? view.scan(directory, signal) : view.list(directory, signal));
  const files: ImageFile[] = [];
  const add = (above: string, node: TreeNode): void => {
    for (const child of node.children) {
      const childPath = joined(above, child.name);
      files.push({ path: childPath, node: child });
      if (depth === "all") add(childPath, child);
    }
  };
  add(directory.path, top);
  return files;
}

function joined(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

export function notFound(path: string): BuildError {
  return new BuildError("solver/not-found", `Cannot find ${JSON.stringify(path)} in the image`, {
    hint: "kiln ls IMAGE PATH lists a directory of an image",
  });
}
