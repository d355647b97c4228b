import type { PageTree } from "./data.ts";

/** Limit of the entries of one directory in a tree; smaller ones are put together. */
const MAX_CHILDREN = 24;
const MAX_DEPTH = 6;

interface Folder {
  bytes: number;
  readonly folders: Map<string, Folder>;
  readonly files: { readonly name: string; readonly bytes: number }[];
}

/**
 * Makes a tree of files by size. Directories with one directory alone in them are one; small entries are put together.
 * @param leastBytes smaller entries are never shown alone
 */
export function fileTree(
  files: readonly { readonly path: string; readonly bytes: number }[],
  leastBytes: number,
): PageTree {
  const root = newFolder();
  for (const { path, bytes } of files) {
    const names = path.split("/").filter((name) => name !== "");
    let folder = root;
    folder.bytes += bytes;
    for (const name of names.slice(0, -1)) {
      let next = folder.folders.get(name);
      if (next === undefined) folder.folders.set(name, (next = newFolder()));
      next.bytes += bytes;
      folder = next;
    }
    folder.files.push({ name: names.at(-1) ?? "", bytes });
  }
  return shown("/", root, leastBytes, 0);
}

function newFolder(): Folder {
  return { bytes: 0, folders: new Map(), files: [] };
}

function shown(name: string, folder: Folder, leastBytes: number, depth: number): PageTree {
  const [only] = folder.folders;
  if (only !== undefined && folder.folders.size === 1 && folder.files.length === 0) {
    return shown(name === "/" ? `/${only[0]}` : `${name}/${only[0]}`, only[1], leastBytes, depth);
  }
  if (depth >= MAX_DEPTH) return { name: `${name}/`, bytes: folder.bytes };
  const entries = [
    ...[...folder.folders].map(([own, one]) => ({ own, bytes: one.bytes, folder: one })),
    ...folder.files.map((file) => ({ own: file.name, bytes: file.bytes, folder: undefined })),
  ].toSorted((a, b) => b.bytes - a.bytes);
  const large = entries.slice(0, MAX_CHILDREN).filter(({ bytes }) => bytes >= Math.max(1, leastBytes));
  const rest = entries.slice(large.length);
  const restBytes = rest.reduce((sum, { bytes }) => sum + bytes, 0);
  const children = large.map(({ own, bytes, folder: below }) =>
    below === undefined ? { name: own, bytes } : shown(own, below, leastBytes, depth + 1),
  );
  if (restBytes > 0) {
    const count = rest.filter(({ bytes }) => bytes > 0).length;
    children.push({ name: `${count} smaller`, bytes: restBytes });
  }
  return { name: name === "/" ? "/" : `${name}/`, bytes: folder.bytes, children };
}
