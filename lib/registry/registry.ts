import type { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import type { ManifestDocument } from "../core/manifest.ts";
import type { Descriptor } from "../core/oci.ts";
import type { ImageRef } from "../core/reference.ts";
import type { ConnectionOptions } from "./connections.ts";
import type { HostSettings } from "./host.ts";

/** Where blobs and manifests live: `docker.io` and `library/alpine`. An `ImageRef` is one. */
export type Repository = Pick<ImageRef, "registry" | "repository">;

/** `docker.io/library/alpine`, as the store's layer blobs name it. */
export function formatRepository(repository: Repository): string {
  return `${repository.registry}/${repository.repository}`;
}

export function parseRepository(text: string): Repository {
  const slash = text.indexOf("/");
  return { registry: text.slice(0, slash), repository: text.slice(slash + 1) };
}

/** A manifest or index as a registry holds it. The bytes have the digest; they are what has to be kept. */
export interface RemoteManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly document: ManifestDocument;
}

/** What a push sends: the stream is opened again for each attempt. */
export interface BlobSource {
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  open(signal: AbortSignal): Readable | Promise<Readable>;
  /** Told of bytes on their way out; less than before when an attempt starts again. */
  onProgress?(sentBytes: number): void;
}

/** A blob whose bytes the registry has, but not its name. One that is never finished is thrown away by the registry. */
export interface StreamedBlob {
  finish(digest: Digest, signal: AbortSignal): Promise<void>;
}

/**
 * A client of registries that speak the OCI distribution specification. Requests that fail for a passing reason (a
 * dropped connection, 5xx, 429) are tried again with growing pauses. Every error is a BuildError: `registry/unauthorized`,
 * `registry/denied`, `registry/not-found`, `registry/unreachable`, `registry/malformed`, `digest/mismatch`.
 */
export interface RegistryClient extends AsyncDisposable {
  /** The manifest a reference names: by digest when it has one, else by tag. Digest verified. At most 4 MiB. */
  resolve(ref: ImageRef, signal: AbortSignal): Promise<RemoteManifest>;
  /**
   * Only what a reference points at now: a HEAD request where the registry answers it fully.
   * @param attempts `one`: whoever asks can do without an answer.
   */
  describe(ref: ImageRef, signal: AbortSignal, attempts?: "one" | "many"): Promise<Descriptor>;
  fetchManifest(
    repository: Repository,
    descriptor: Pick<Descriptor, "digest">,
    signal: AbortSignal,
  ): Promise<RemoteManifest>;
  /** The whole blob, verified while it streams: the stream fails at its end when size or digest differ. Goes on after dropped connections. */
  fetchBlob(repository: Repository, blob: BlobId, signal: AbortSignal): Promise<Readable>;
  /** The blob from an offset to its end, not verified: for `Blobs.download`, which does that. Goes on after dropped connections. */
  openBlob(repository: Repository, blob: BlobId, offsetBytes: number, signal: AbortSignal): Promise<Readable>;
  /**
   * Takes note that a blob came with other bytes than its digest says: a mirror that sent them is not asked again.
   * @returns whether another place is left to ask.
   */
  distrust(digest: Digest): boolean;
  blobExists(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean>;
  /**
   * Asks the registry to take a blob over from another of its repositories. False when it did not, for whatever reason: the
   * blob can always be uploaded.
   */
  mountBlob(repository: Repository, digest: Digest, from: string, signal: AbortSignal): Promise<boolean>;
  /** Uploads a blob unless it is there. */
  pushBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<"exists" | "uploaded">;
  /** Uploads a blob without asking for it before. In one request, or in pieces where that is refused. */
  uploadBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<void>;
  /**
   * Sends a blob whose digest is not known before its last byte, and returns when all is sent. It counts from `finish` on.
   * Tried once: a body that is still being made cannot be sent again.
   */
  streamBlob(repository: Repository, bytes: AsyncIterable<Buffer>, signal: AbortSignal): Promise<StreamedBlob>;
  /** `reference` is a tag or, for manifests that an index lists, their digest. */
  pushManifest(
    repository: Repository,
    manifest: { readonly reference: string; readonly mediaType: string; readonly bytes: Uint8Array },
    signal: AbortSignal,
  ): Promise<Descriptor>;
}

export type BlobId = Pick<Descriptor, "digest" | "size">;

/** Settings by a registry's or a mirror's name; `undefined` where nothing is special. A Map is one. */
export interface HostLookup {
  get(name: string): HostSettings | undefined;
}

export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token. */
  | { readonly kind: "identity-token"; readonly token: string }
  /** Sent as it is. */
  | { readonly kind: "registry-token"; readonly token: string };

/** Source of accounts. Asked once per repository and client. */
export interface CredentialSource {
  get(repository: Repository, signal: AbortSignal): Promise<Credentials | undefined>;
}

/** Takes a line for people: a fallback, what it is about and what is done instead. */
export type Notice = (message: string, hint?: string) => void;

export interface RegistryOptions extends ConnectionOptions {
  readonly credentials: CredentialSource;
  readonly userAgent: string;
  readonly hosts?: HostLookup;
  readonly clock: { nowMs(): number };
  /** Pauses between attempts. */
  readonly timer: Timer;
  /** Told of mirrors that are passed over. */
  readonly notice?: Notice;
  readonly mirrorMemory?: MirrorMemory;
}

/** Failures of mirrors that outlive a client: whoever asks next need not wait for the same silence. */
export interface MirrorMemory {
  /** Tells why a mirror did not answer a short while ago; `undefined` for one that may be asked. */
  recall(name: string): string | undefined;
  note(name: string, why: string): void;
  forget(name: string): void;
}

export interface Timer {
  /** @throws the signal's reason when aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}
