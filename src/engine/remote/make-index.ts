import { MAX_CONFIG_BYTES, parseImageConfig } from "../../../lib/core/image-config.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import { type Descriptor, type DescriptorPlatform, type Index, MEDIA_TYPES } from "../../../lib/core/oci.ts";
import { type Platform, formatPlatform } from "../../../lib/core/platform.ts";
import { familiarReference, type ImageRef } from "../../../lib/core/reference.ts";
import type { RegistryClient, RemoteManifest } from "../../../lib/registry/registry.ts";
import { platformOf } from "../../../lib/registry/select-platform.ts";
import { type BlobWay, copyBelow, copyManifest, type CopyRoute } from "./copy-content.ts";
import { indexDocument } from "./index-document.ts";

const LANES = 4;

/** An entry of an unfinished index, and the place of its manifest. */
export interface IndexMember {
  readonly descriptor: Descriptor;
  readonly source: ImageRef;
}

/** The form of an index. */
export interface IndexOptions {
  readonly annotations: Readonly<Record<string, string>>;
  /** Annotations of the members' descriptors. */
  readonly memberAnnotations: Readonly<Record<string, string>>;
  readonly mediaTypes: "oci" | "docker";
}

/**
 * Lists what an image contributes to an index: itself, or the members of its own index. An image gets the platform that its
 * configuration names; no layer is read.
 */
export async function membersOf(
  client: RegistryClient,
  source: ImageRef,
  signal: AbortSignal,
): Promise<readonly IndexMember[]> {
  const found = await client.resolve(source, signal);
  if (found.document.kind === "index") {
    const { index } = found.document;
    return index.manifests.map((descriptor) => ({ descriptor, source }));
  }
  const platform = await platformIn(client, source, found, signal);
  return [{ descriptor: { ...found.descriptor, ...(platform === undefined ? {} : { platform }) }, source }];
}

async function platformIn(
  client: RegistryClient,
  source: ImageRef,
  { document }: RemoteManifest,
  signal: AbortSignal,
): Promise<DescriptorPlatform | undefined> {
  if (document.kind !== "manifest") return undefined;
  const { config } = document.manifest;
  if (config.mediaType !== MEDIA_TYPES.ociConfig && config.mediaType !== MEDIA_TYPES.dockerConfig) return undefined;
  const name = familiarReference(source);
  if (config.size > MAX_CONFIG_BYTES) {
    throw new BuildError("image/config", `Cannot read the configuration of "${name}": it is larger than 8 MiB`);
  }
  const chunks: Buffer[] = [];
  const stream = await client.fetchBlob(source, config, signal);
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  const parsed = parseImageConfig(Buffer.concat(chunks), `"${name}"`);
  const { os, architecture, variant } = parsed;
  return {
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    ...(parsed["os.version"] === undefined ? {} : { "os.version": parsed["os.version"] }),
    ...(parsed["os.features"] === undefined ? {} : { "os.features": parsed["os.features"] }),
  };
}

/** Puts members together; of two for one digest the last one counts, at the place of the first. */
export function joinMembers(members: readonly IndexMember[]): readonly IndexMember[] {
  return [...new Map(members.map((member) => [member.descriptor.digest, member])).values()];
}

/**
 * Keeps the members for some platforms, with their attestations.
 * @throws {BuildError} `image/platform` for a missing platform
 */
export function forPlatforms(members: readonly IndexMember[], platforms: readonly Platform[]): readonly IndexMember[] {
  if (platforms.length === 0) return members;
  const wanted = new Set(platforms.map((platform) => formatPlatform(platform)));
  const platformText = ({ descriptor }: IndexMember): string => {
    const platform = platformOf(descriptor);
    return platform === undefined ? "" : formatPlatform(platform);
  };
  const kept = members.filter((member) => wanted.has(platformText(member)));
  const missing = [...wanted].find((text) => !kept.some((member) => platformText(member) === text));
  if (missing !== undefined) {
    throw new BuildError("image/platform", `Cannot make the index: no source has the platform ${missing}`);
  }
  const digests = new Set<string>(kept.map(({ descriptor }) => descriptor.digest));
  const about = members.filter(({ descriptor }) =>
    digests.has(descriptor.annotations?.["vnd.docker.reference.digest"] ?? ""),
  );
  return joinMembers([...kept, ...about]);
}

export function indexOf(members: readonly IndexMember[], options: IndexOptions): Index {
  const { annotations, memberAnnotations, mediaTypes } = options;
  const annotated = (descriptor: Descriptor): Descriptor => {
    const all = { ...descriptor.annotations, ...memberAnnotations };
    return Object.keys(all).length === 0 ? descriptor : { ...descriptor, annotations: all };
  };
  return {
    schemaVersion: 2,
    mediaType: mediaTypes === "docker" ? MEDIA_TYPES.dockerIndex : MEDIA_TYPES.ociIndex,
    manifests: members.map(({ descriptor }) => annotated(descriptor)),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

/**
 * Writes an index under a name, after the members that the repository lacks: by mounts within a registry, by copies
 * between two.
 */
export async function pushIndex(
  client: RegistryClient,
  destination: ImageRef,
  made: { readonly members: readonly IndexMember[]; readonly index: Index },
  onBlob: (blob: Descriptor, way: BlobWay) => void,
  signal: AbortSignal,
): Promise<Descriptor> {
  await mapLimit(made.members, LANES, signal, async ({ descriptor, source }, inner) => {
    if (source.registry === destination.registry && source.repository === destination.repository) return;
    const route: CopyRoute = {
      client,
      from: source,
      to: destination,
      onBlob,
      done: new Map(),
      mounts: { work: true },
      members: new Map(),
    };
    const found = await client.fetchManifest(source, descriptor, inner);
    await copyBelow(found, route, inner);
    await copyManifest(found, route, inner);
  });
  const { bytes, descriptor } = indexDocument(made.index);
  const reference = destination.tag ?? "latest";
  return client.pushManifest(destination, { reference, mediaType: descriptor.mediaType, bytes }, signal);
}
