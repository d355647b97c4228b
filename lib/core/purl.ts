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

/** The parts of a package URL, not yet encoded. */
export interface PackageUrlParts {
  /** `deb`, `npm`, `golang` */
  readonly type: string;
  /** Names in front of the package's own, separated by slashes: `debian`, `@scope`, `github.com/owner`. */
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly version?: string | undefined;
  /** Qualifiers without a value are left out. */
  readonly qualifiers?: Readonly<Record<string, string | undefined>>;
}

/**
 * Makes a package URL: `pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64`.
 * @see https://github.com/package-url/purl-spec/blob/main/PURL-SPECIFICATION.rst
 */
export function packageUrl({ type, namespace = "", name, version = "", qualifiers = {} }: PackageUrlParts): string {
  const names = [...namespace.split("/").filter((part) => part !== ""), name].map(encoded).join("/");
  const known = Object.entries(qualifiers)
    .flatMap(([key, value]) => (value === undefined || value === "" ? [] : [`${key}=${encoded(value)}`]))
    .toSorted();
  return `pkg:${type}/${names}${version === "" ? "" : `@${encoded(version)}`}${known.length === 0 ? "" : `?${known.join("&")}`}`;
}

/** Encodes all but letters, digits, `.`, `-`, `_`, `~` and the colon. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%3A", ":");
}
