import { type Digest, digestOf } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { MEDIA_TYPES, type Manifest } from "../../../lib/core/oci.ts";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { familiarReference, type ImageRef } from "../../../lib/core/reference.ts";
import { mapLimit } from "../../../lib/core/limits.ts";
import { formatRepository, parseRepository, type RegistryClient } from "../../../lib/registry/registry.ts";
import type { CacheBlob, CacheEntry, CacheSink, EntryName } from "./backend.ts";
import { buildKitCache, hasBuildKitRecords, isBuildKitRecords } from "./buildkit-cache.ts";
import { decodeInline, INLINE_KEY } from "./inline.ts";

const ENTRY_TYPE = "application/vnd.kiln.cache.entry.v1";
const MARKER_TYPE = "application/vnd.kiln.cache.v1";
const ENTRY_KEY = "kiln.cache.entry";
const SIGNATURE_KEY = "kiln.cache.signature";
/** The empty config of every manifest here: registries require one. OCI image-spec 1.1, "empty descriptor". */
const EMPTY = Buffer.from("{}");
const IMAGE_CONFIGS: ReadonlySet<string> = new Set([MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig]);
/** Larger configurations are not read for a hint. */
const MAX_CONFIG_BYTES = 4 << 20;
const EMPTY_BLOB: CacheBlob = { mediaType: MEDIA_TYPES.ociEmpty, digest: digestOf(EMPTY), size: EMPTY.length };

/**
 * A cache in a registry's repository. An entry is a manifest with the entry's name as its tag and the document in an
 * annotation, so that a look-up is one request. The manifest lists the blobs, which keeps the registry from collecting
 * them.
 */
export class RegistryCache implements CacheSink {
  readonly keepsNamedBlobs = true;
  readonly location: string;
  readonly repository: string;
  readonly #ref: ImageRef;
  readonly #client: () => Promise<RegistryClient>;
  /** The entries of an image, when the reference names one. */
  #inline: ReadonlyMap<string, CacheEntry> | undefined;

  constructor(ref: ImageRef, client: () => Promise<RegistryClient>) {
    this.#ref = ref;
    this.#client = client;
    this.location = familiarReference(ref);
    this.repository = formatRepository(ref);
  }

  /**
   * Tells whether the reference is a cache, or an image that carries one.
   * @throws {BuildError} `cache/import-failed` for a cache of BuildKit's
   */
  async exists(signal: AbortSignal): Promise<boolean> {
    const manifests = await this.#manifestsOfRef(signal);
    if (manifests === "BuildKit's") throw buildKitCache(this.#ownCache());
    if (manifests.some((manifest) => manifest.artifactType === MARKER_TYPE)) return true;
    const inline = manifests.flatMap(({ annotations }) => annotations?.[INLINE_KEY] ?? []);
    if (inline.length === 0) {
      if (await this.#isInlineOfBuildKit(manifests, signal)) throw buildKitCache("type=inline --push");
      return false;
    }
    this.#inline = new Map(inline.flatMap((text) => [...decodeInline(text)]));
    return true;
  }

  async read(name: EntryName, signal: AbortSignal): Promise<CacheEntry | undefined> {
    if (this.#inline !== undefined) return this.#inline.get(name);
    const annotations = (await this.#manifest(name, signal))?.annotations;
    const text: unknown = annotations?.[ENTRY_KEY];
    const signature: unknown = annotations?.[SIGNATURE_KEY];
    if (typeof text !== "string") return undefined;
    return { text, signature: typeof signature === "string" ? signature : undefined };
  }

  async openBlob(blob: CacheBlob, signal: AbortSignal): Promise<Readable> {
    return (await this.#client()).fetchBlob(this.#ref, blob, signal);
  }

  async prepare(signal: AbortSignal): Promise<void> {
    const client = await this.#client();
    await client.pushBlob(this.#ref, { descriptor: EMPTY_BLOB, open: () => Readable.from([EMPTY]) }, signal);
    const there = await this.#manifestsOfRef(signal);
    if (there === "BuildKit's") {
      throw new BuildError("cache/export-failed", `${JSON.stringify(this.location)} is a cache of BuildKit's`, {
        hint: `BuildKit could not read it any more: use --cache-to ${this.#ownCache()}`,
      });
    }
    if (there.some((manifest) => manifest.artifactType === MARKER_TYPE)) return;
    if (there.length > 0) {
      throw new BuildError("cache/export-failed", `${JSON.stringify(this.location)} is an image`, {
        hint: "give the cache a name of its own, or use --cache-to type=inline",
      });
    }
    await this.#put(this.#ref.tag ?? "latest", MARKER_TYPE, {}, [], signal);
  }

  async hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean> {
    return (await this.#client()).blobExists(this.#ref, digest, signal);
  }

  async putBlob(blob: CacheBlob, content: Parameters<CacheSink["putBlob"]>[1], signal: AbortSignal): Promise<void> {
    const client = await this.#client();
    if (content.from !== undefined) {
      const from = parseRepository(content.from);
      const isSibling = from.registry === this.#ref.registry && from.repository !== this.#ref.repository;
      if (isSibling && (await client.mountBlob(this.#ref, blob.digest, from.repository, signal))) return;
    }
    await client.uploadBlob(this.#ref, { descriptor: blob, open: (s) => content.open(s) }, signal);
  }

  async hasEntry(name: EntryName, signal: AbortSignal): Promise<boolean> {
    try {
      await (await this.#client()).describe(this.#tagged(name), "many", signal);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async putEntry(name: EntryName, entry: CacheEntry, blobs: readonly CacheBlob[], signal: AbortSignal): Promise<void> {
    const annotations = {
      [ENTRY_KEY]: entry.text,
      ...(entry.signature === undefined ? {} : { [SIGNATURE_KEY]: entry.signature }),
    };
    await this.#put(name, ENTRY_TYPE, annotations, blobs, signal);
  }

  async #put(
    tag: string,
    artifactType: string,
    annotations: Readonly<Record<string, string>>,
    blobs: readonly CacheBlob[],
    signal: AbortSignal,
  ): Promise<void> {
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      artifactType,
      config: EMPTY_BLOB,
      // Some registries refuse a manifest without layers; the specification says to list the empty blob then.
      layers: blobs.length === 0 ? [EMPTY_BLOB] : blobs,
      annotations,
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const client = await this.#client();
    await client.pushManifest(this.#ref, { reference: tag, mediaType: manifest.mediaType, bytes }, signal);
  }

  async #manifest(tag: string, signal: AbortSignal): Promise<Manifest | undefined> {
    try {
      const { document } = await (await this.#client()).resolve(this.#tagged(tag), signal);
      return document.kind === "manifest" ? document.manifest : undefined;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Fetches the manifest of the image or, for several platforms, of each image. */
  async #manifestsOfRef(signal: AbortSignal): Promise<readonly Manifest[] | "BuildKit's"> {
    const client = await this.#client();
    try {
      const { document } = await client.resolve(this.#ref, signal);
      if (document.kind === "manifest") {
        return isBuildKitRecords(document.manifest.config) ? "BuildKit's" : [document.manifest];
      }
      // The other members of such an index are layers, and no manifests.
      if (document.index.manifests.some(isBuildKitRecords)) return "BuildKit's";
      const members = await mapLimit(document.index.manifests, 4, signal, (one, inner) =>
        client.fetchManifest(this.#ref, one, inner),
      );
      return members.flatMap((member) => (member.document.kind === "manifest" ? [member.document.manifest] : []));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  /** Tells whether images carry BuildKit's records; the first one's configuration tells it for all. */
  async #isInlineOfBuildKit([first]: readonly Manifest[], signal: AbortSignal): Promise<boolean> {
    const config = first?.config;
    if (config === undefined || config.size > MAX_CONFIG_BYTES || !IMAGE_CONFIGS.has(config.mediaType)) return false;
    const client = await this.#client();
    return hasBuildKitRecords(await buffer(await client.fetchBlob(this.#ref, config, signal)));
  }

  /** Returns the value of a flag for a cache beside this one, under a name of its own. */
  #ownCache(): string {
    const { digest: _, ...named } = this.#ref;
    const ref = { ...named, tag: `${named.tag ?? "cache"}-kiln`, digest: undefined };
    return `type=registry,ref=${familiarReference(ref)},mode=max`;
  }

  #tagged(tag: string): ImageRef {
    return { registry: this.#ref.registry, repository: this.#ref.repository, tag, digest: undefined };
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof BuildError && error.code === "registry/not-found";
}
