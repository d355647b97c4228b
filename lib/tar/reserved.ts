import { BuildError } from "../core/errors.ts";
import { S_IFCHR, S_IFMT } from "../native/constants.ts";
import { printableName } from "../native/names.ts";
import type { TreeScan } from "../native/scan.ts";
import { WHITEOUT_PREFIX } from "./marks.ts";

/*
 * Files that no layer can hold, because their name or type marks a deletion there: names that begin with `.wh.` in a
 * tar, the character device 0:0 in an overlay.
 */

export function isReservedName(name: string): boolean {
  return name.startsWith(WHITEOUT_PREFIX);
}

/**
 * Refuses a file with a whiteout's name: in a layer's directory deletions have marks of their own, so it is an ordinary
 * file.
 * @throws {BuildError} `image/reserved` for one
 */
export function refuseReserved(scan: TreeScan): void {
  const { buffer, byteOffset, byteLength } = scan.columns.names;
  if (!Buffer.from(buffer, byteOffset, byteLength).includes(WHITEOUT_PREFIX)) return;
  for (let row = 1; row < scan.count; row += 1) if (isReservedName(scan.name(row))) throw reservedName(scan.path(row));
}

/** Tells whether a file is the device that overlayfs takes for a deleted file. */
export function isReservedDevice(mode: number, device: { readonly major: number; readonly minor: number }): boolean {
  return (mode & S_IFMT) === S_IFCHR && device.major === 0 && device.minor === 0;
}

/** Makes the refusal of a name; `path` in the image, relative to its root. */
export function reservedName(path: string): BuildError {
  return refusal(
    path,
    'names that begin with ".wh." mean deleted files in a layer, and unpacking the image would delete one',
    "give it another name, or leave it out",
  );
}

/** Makes the refusal of a device. */
export function reservedDevice(path: string): BuildError {
  return refusal(
    path,
    "the character device 0:0 means a deleted file in an overlay file system",
    "leave it out; overlayfs allows no such file either",
  );
}

function refusal(path: string, why: string, hint: string): BuildError {
  return new BuildError(
    "image/reserved",
    `Cannot put ${JSON.stringify(`/${printableName(path)}`)} into an image: ${why}`,
    {
      hint,
    },
  );
}
