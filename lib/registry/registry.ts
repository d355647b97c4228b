import type { Readable } from "node:stream";
import type { Digest } from "../core/digest.ts";
import type { ManifestDocument } from "../core/manifest.ts";
import type { Descriptor } from "../core/oci.ts";
import type { ImageRef } from "../core/reference.ts";
import type { ConnectionOptions } from "./connection-options.ts";
import type { HostSettings } from "./host.ts";

/** A place of blobs and manifests: `docker.io` and `library/alpine`. An `ImageRef` is one. */
export type Repository = Pick<ImageRef, "registry" | "repository">;

/** Writes `docker.io/library/alpine`, the form in the store's layer blobs. */
export function formatRepository(repository: Repository): string {
  return `${repository.registry}/${repository.repository}`;
}

export function parseRepository(text: string): Repository {
  const slash = text.indexOf("/");
  return { registry: text.slice(0, slash), repository: text.slice(slash + 1) };
}

/** A manifest or index from a registry. The digest is that of the bytes, so the bytes must be kept. */
export interface RemoteManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly document: ManifestDocument;
}

/** A blob to push. The stream is opened again for each attempt. */
export interface BlobSource {
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  open(signal: AbortSignal): Readable | Promise<Readable>;
  /** Opens the bytes from an offset on. Without it, what comes before the offset is read and thrown away. */
  openAt?(offsetBytes: number, signal: AbortSignal): Readable | Promise<Readable>;
  /** Reports the bytes sent so far; the number falls when a new attempt starts. */
  onProgress?(sentBytes: number): void;
}

/** A blob with bytes in the registry but no name yet. The registry discards one that is never finished. */
export interface StreamedBlob {
  finish(digest: Digest, signal: AbortSignal): Promise<void>;
  /** Tells the registry that the bytes are not needed. Never fails. */
  cancel(): Promise<void>;
}

/**
 * A client of registries with the OCI distribution specification. Requests that fail for a passing reason (a dropped
 * connection, 5xx, 429) are repeated with growing pauses. Every error is a BuildError: `registry/unauthorized`,
 * `registry/denied`, `registry/not-found`, `registry/unreachable`, `registry/malformed`, `digest/mismatch`.
 */
export interface RegistryClient extends AsyncDisposable {
  /**
   * Asks a registry whether it takes the account that it is given.
   * @throws {BuildError} `registry/unauthorized` where it does not.
   */
  ping(registry: string, signal: AbortSignal): Promise<void>;
  /**
   * Fetches the manifest of a reference: by digest when it has one, else by tag. Its digest is verified, and it has at
   * most 4 MiB.
   */
  resolve(ref: ImageRef, signal: AbortSignal): Promise<RemoteManifest>;
  /**
   * Returns the descriptor of a reference's manifest: with a HEAD request where the registry answers it fully.
   * @param attempts `one`: the caller can do without an answer.
   */
  describe(ref: ImageRef, attempts: "one" | "many", signal: AbortSignal): Promise<Descriptor>;
  fetchManifest(
    repository: Repository,
    descriptor: Pick<Descriptor, "digest">,
    signal: AbortSignal,
  ): Promise<RemoteManifest>;
  /**
   * Streams the whole blob, verified on the way: the stream fails at its end when size or digest differ. It continues
   * after dropped connections.
   */
  fetchBlob(repository: Repository, blob: BlobId, signal: AbortSignal): Promise<Readable>;
  /**
   * Streams the blob from an offset, unverified, for `Blobs.download`, which verifies. It continues after dropped
   * connections.
   */
  openBlob(repository: Repository, blob: BlobId, offsetBytes: number, signal: AbortSignal): Promise<Readable>;
  /**
   * Records that a blob's bytes did not match its digest: the mirror that sent them is not asked again.
   * @returns whether another place is left to ask
   */
  distrust(digest: Digest): boolean;
  /** Asks once: what a repository has had or taken, this client knows. */
  blobExists(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean>;
  /**
   * Asks the registry to mount a blob from another of its repositories. False when it did not, for any reason: the blob
   * can always be uploaded.
   */
  mountBlob(repository: Repository, digest: Digest, from: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Lists the artifacts that refer to a manifest; `undefined` where the registry has no such API.
   * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
   */
  referrers(repository: Repository, subject: Digest, signal: AbortSignal): Promise<readonly Descriptor[] | undefined>;
  /** Uploads a blob unless the registry has it. */
  pushBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<"exists" | "uploaded">;
  /** Uploads a blob without asking first, in one request, or in chunks where that is refused. */
  uploadBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<void>;
  /**
   * Sends a blob before its digest is known, and returns when all is sent. The blob exists after `finish`. After a broken
   * connection it goes on, if the registry can say where; otherwise it fails, and `uploadBlob` is the way.
   * @param open opens the bytes from an offset
   */
  streamBlob(
    repository: Repository,
    open: (offsetBytes: number) => AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<StreamedBlob>;
  /** Pushes a manifest. `reference` is a tag or, for manifests of an index, their digest. */
  pushManifest(
    repository: Repository,
    manifest: { readonly reference: string; readonly mediaType: string; readonly bytes: Uint8Array },
    signal: AbortSignal,
  ): Promise<Descriptor>;
}

export type BlobId = Pick<Descriptor, "digest" | "size">;

/** The servers that the content of a repository is read from. */
export interface Route {
  /** The repository under the name that its registry knows; a rule may have renamed it. */
  readonly origin: Repository;
  /** Asked first, in order. */
  readonly mirrors: readonly MirrorRoute[];
}

export interface MirrorRoute {
  /** `host[:port][/prefix]`. Settings are looked up by it. */
  readonly name: string;
  /** The repository's name at the mirror, behind the prefix. */
  readonly repository: string;
  readonly serves: "all" | "digests" | "tags";
}

/** Settings by the name of a registry or mirror; `undefined` for the defaults. A Map is one. */
export interface HostLookup {
  get(name: string): HostSettings | undefined;
  /**
   * Finds the way to a repository's content, where rules rename or mirror it; without it the settings' mirrors count.
   * @throws {BuildError} `registry/configuration` for a repository that is blocked
   */
  route?(repository: Repository): Route;
}

export type Credentials =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token; token servers that know no refresh flow take it as the user's password. */
  | { readonly kind: "identity-token"; readonly token: string; readonly username?: string }
  /** A token that is sent as it is. */
  | { readonly kind: "registry-token"; readonly token: string };

/** A source of accounts. It is asked once per repository and client. */
export interface CredentialSource {
  get(repository: Repository, signal: AbortSignal): Promise<Credentials | undefined>;
}

/** Takes a line for people: a fallback, its subject and its replacement. */
export type Notice = (message: string, hint?: string) => void;

export interface RegistryOptions extends ConnectionOptions {
  readonly credentials: CredentialSource;
  readonly userAgent: string;
  readonly hosts?: HostLookup;
  readonly clock: { nowMs(): number };
  /** Pauses between attempts. */
  readonly timer: Timer;
  /** Reports mirrors that are skipped. */
  readonly notice?: Notice;
  readonly mirrorMemory?: MirrorMemory;
}

/** Failures of mirrors that outlive a client: the next one need not wait for the same silence. */
export interface MirrorMemory {
  /** Returns the reason why a mirror failed a short while ago; `undefined` for one that may be asked. */
  recall(name: string): string | undefined;
  note(name: string, why: string): void;
  forget(name: string): void;
}

export interface Timer {
  /**
   * Waits.
   * @throws the signal's reason when aborted
   */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}
