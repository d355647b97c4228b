import type { Digest } from "./digest.ts";
import { formatPlatform, type Platform } from "./platform.ts";
import { familiarReference, type ImageRef } from "./reference.ts";

/**
 * Makes the package URL of an image, `pkg:docker/alpine@3.20?platform=linux%2Famd64`, as BuildKit does: the familiar
 * name, the tag as version, and other known facts as qualifiers.
 */
export function imagePurl(ref: ImageRef, platform: Platform, digest?: Digest): string {
  const name = familiarReference({ ...ref, tag: undefined, digest: undefined });
  const version = ref.tag ?? (ref.digest === undefined ? "latest" : undefined);
  const qualifiers = [
    ...(digest === undefined ? [] : [`digest=${digest}`]),
    `platform=${encodeURIComponent(formatPlatform(platform))}`,
  ];
  return `pkg:docker/${name}${version === undefined ? "" : `@${version}`}?${qualifiers.join("&")}`;
}
