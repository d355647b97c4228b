import type { Descriptor } from "../../../lib/core/oci.ts";
import type { Platform } from "../../../lib/core/platform.ts";
import { familiarReference, type ImageRef } from "../../../lib/core/reference.ts";
import type { RegistryClient, RemoteManifest } from "../../../lib/registry/registry.ts";
import { selectPlatform } from "../../../lib/registry/select-platform.ts";
import { type BlobWay, copyBelow, type CopyRoute } from "./copy-content.ts";
import { indexDocument } from "./index-document.ts";
import { copyReferrers } from "./referrers.ts";

export interface CopyOptions {
  readonly from: ImageRef;
  readonly to: ImageRef;
  /**
   * Platforms to take from an index; empty for all. One alone is copied as an image, several as an index of their own.
   */
  readonly platforms: readonly Platform[];
  /** True to copy signatures, SBOMs and other artifacts that refer to the image. */
  readonly referrers: boolean;
  /** Receives each blob that was sent. */
  readonly onBlob: (blob: Descriptor, way: BlobWay) => void;
}

/**
 * Copies an image between repositories, of one registry or two. The bytes of manifests stay as they are, so digests do too.
 * The name at the destination is written last.
 * @returns what the destination's name points to
 * @throws {BuildError} what registries say
 */
export async function copyImage(
  client: RegistryClient,
  options: CopyOptions,
  signal: AbortSignal,
): Promise<Descriptor> {
  const { from, to, platforms, onBlob } = options;
  const route: CopyRoute = {
    client,
    from,
    to: to,
    onBlob,
    done: new Map(),
    mounts: { work: true },
    members: new Map(),
  };
  const whole = await client.resolve(from, signal);
  const top = await chosen(whole, options, route, signal);
  const copied = await copyBelow(top, route, signal);
  const reference = to.digest ?? to.tag ?? "latest";
  const { mediaType } = top.descriptor;
  const pushed = await client.pushManifest(to, { reference, mediaType, bytes: top.bytes }, signal);
  if (options.referrers) {
    const subjects = platforms.length === 0 ? [whole.descriptor.digest, ...copied] : [top.descriptor.digest, ...copied];
    for (const subject of new Set(subjects)) await copyReferrers(subject, route, signal);
  }
  return pushed;
}

/** Takes the wanted platforms out of an index. */
async function chosen(
  whole: RemoteManifest,
  { from, platforms }: CopyOptions,
  { client }: CopyRoute,
  signal: AbortSignal,
): Promise<RemoteManifest> {
  const { document } = whole;
  if (platforms.length === 0 || document.kind === "manifest") return whole;
  const { index } = document;
  const members = platforms.map((platform) => selectPlatform(index, platform, familiarReference(from)));
  const [only] = members;
  if (members.length === 1 && only !== undefined) return client.fetchManifest(from, only, signal);
  const digests = new Set<string>(members.map(({ digest }) => digest));
  // Attestations of a chosen platform are copied with it.
  const about = index.manifests.filter((one) => digests.has(one.annotations?.["vnd.docker.reference.digest"] ?? ""));
  return indexDocument({ ...index, manifests: [...new Set([...members, ...about])] });
}
