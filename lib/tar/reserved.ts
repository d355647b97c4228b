import { BuildError } from "../core/errors.ts";
import { S_IFCHR, S_IFMT } from "../native/constants.ts";
import { printableName } from "../native/names.ts";
import type { TreeScan } from "../native/scan.ts";
import { WHITEOUT_PREFIX } from "./marks.ts";

/*
 * Files that no layer can hold, because what they are called or what they are says "deleted" there: names that begin with
 * `.wh.` in a tar, the character device 0:0 in an overlay.
 */

export function isReservedName(name: string): boolean {
  return name.startsWith(WHITEOUT_PREFIX);
}

/**
 * A layer's directory says by its own marks what is deleted, so a file of a whiteout's name is just that: a file.
 * @throws {BuildError} `image/reserved` for one
 */
export function refuseReserved(scan: TreeScan): void {
  const { buffer, byteOffset, byteLength } = scan.columns.names;
  if (!Buffer.from(buffer, byteOffset, byteLength).includes(WHITEOUT_PREFIX)) return;
  for (let row = 1; row < scan.count; row += 1) if (isReservedName(scan.name(row))) throw reservedName(scan.path(row));
}

/** Whether a file is the device that overlayfs takes for a deleted file. */
export function isReservedDevice(mode: number, device: { readonly major: number; readonly minor: number }): boolean {
  return (mode & S_IFMT) === S_IFCHR && device.major === 0 && device.minor === 0;
}

/** The refusal of a name; `path` in the image, relative to its root. */
export function reservedName(path: string): BuildError {
  return refusal(
    path,
    'names that begin with ".wh." mean deleted files in a layer, and whoever unpacks the image would delete one',
    "give it another name, or leave it out",
  );
}

/** The refusal of a device. */
export function reservedDevice(path: string): BuildError {
  return refusal(
    path,
    "the character device 0:0 means a deleted file in an overlay file system",
    "leave it out; overlayfs lets nobody make one either",
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
