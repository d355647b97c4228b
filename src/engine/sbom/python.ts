import { paragraphs } from "./fields.ts";
import type { ImageReader } from "./image-reader.ts";
import type { PackageList } from "./package-list.ts";

/** Metadata of wheels, of installed and of zipped eggs, and of distutils, which writes a file alone. */
const METADATA = /\.(?:dist-info\/METADATA|egg-info\/PKG-INFO|egg-info|egg\/EGG-INFO\/PKG-INFO)$/;
/** The fields come first; a page of documentation may follow. */
const MAX_HEAD_BYTES = 64 << 10;

/** Tells whether a file is the metadata of a Python package. */
export function isPythonMetadata(path: string): boolean {
  return METADATA.test(path);
}

/**
 * Adds a Python package.
 * @see https://packaging.python.org/en/latest/specifications/core-metadata/
 */
export function addPythonPackage(reader: ImageReader, path: string, list: PackageList): void {
  const head = reader.readHead(path, MAX_HEAD_BYTES);
  if (head === undefined) return;
  const [fields] = paragraphs(head.toString("utf8"));
  const name = fields?.get("Name");
  const version = fields?.get("Version");
  if (name === undefined || version === undefined) return;
  const author = fields?.get("Author");
  list.add({
    // The URL's name is the index's: https://peps.python.org/pep-0503/#normalized-names
    url: { type: "pypi", name: name.toLowerCase().replaceAll(/[-_.]+/g, "-"), version },
    license: known(fields?.get("License-Expression")) ?? known(fields?.get("License")),
    supplier: known(author),
    place: `/${path}`,
  });
}

function known(text: string | undefined): string | undefined {
  return text === undefined || text === "" || text === "UNKNOWN" ? undefined : text;
}
