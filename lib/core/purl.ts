import type { Digest } from "./digest.ts";
import { formatPlatform, type Platform } from "./platform.ts";
import { familiarReference, type ImageRef } from "./reference.ts";

/**
 * The package URL of an image, `pkg:docker/alpine@3.20?platform=linux%2Famd64`, as BuildKit writes it: the familiar name, the
 * tag as version, and as qualifiers what else is known.
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
