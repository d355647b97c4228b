import { printableLine } from "../../lib/core/printable.ts";
import type { MadeOutput } from "../../lib/core/progress.ts";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import { formatBytes } from "./step-book.ts";

/** Describes a finished output in a few lines: name and place, size, id and digest in full. */
export function outputLines(output: MadeOutput): readonly string[] {
  const { kind, names, place, imageId, digest, sizeBytes, layers, platforms } = output;
  const isImage = kind === "image";
  const what = names.length > 0 ? names.map(familiarName).join(", ") : UNNAMED[kind];
  const over = platforms > 1 ? ` for ${platforms} platforms` : "";
  const size = isImage
    ? [`  size   ${formatBytes(sizeBytes)} in ${layers} layer${layers === 1 ? "" : "s"}${over}`]
    : [];
  return [
    `${printableLine(what)} ${printableLine(place)}`,
    ...(imageId === undefined ? [] : [`  id     ${imageId}`]),
    ...(digest === undefined ? [] : [`  digest ${digest}`]),
    ...size,
  ];
}

const UNNAMED: Readonly<Record<MadeOutput["kind"], string>> = {
  image: "an image without a name",
  files: "the result",
  cache: "the cache",
};

function familiarName(name: string): string {
  return familiarReference(parseReference(name));
}
