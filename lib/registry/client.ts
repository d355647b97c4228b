import type { Readable } from "node:stream";
import { type Digest, digestOf, isDigest } from "../core/digest.ts";
import { BuildError, joinHints } from "../core/errors.ts";
import { type Descriptor, MEDIA_TYPES } from "../core/oci.ts";
import { familiarReference, type ImageRef } from "../core/reference.ts";
import { checkBlobAnswer, manifestIn, mediaTypeOf } from "./answers.ts";
import { type Purpose, refused } from "./failure.ts";
import { nameOf, pushing } from "./purposes.ts";
import type { Mirror } from "./mirrors.ts";
import { downloadBlob } from "./pull-blob.ts";
import { PieceRight } from "./pull-pieces.ts";
import { type RepositoryRequest, RepositoryRequests, scopesOf } from "./repository-requests.ts";
import { allReferrers } from "./referrers.ts";
import { uploadBlob } from "./push-blob.ts";
import { streamBlob } from "./stream-blob.ts";
import type { UploadTarget } from "./upload-session.ts";
import {
  type BlobId,
  type BlobSource,
  formatRepository,
  type RegistryClient,
  type RegistryOptions,
  type RemoteManifest,
  type Repository,
  type StreamedBlob,
} from "./registry.ts";
import { headerOf, type HttpRequest, type HttpResponse, textOf } from "./transport.ts";

/** Creates a client. Nothing is loaded or connected before the first request. */
export function createRegistryClient(options: RegistryOptions): RegistryClient {
  return new HttpRegistryClient(options);
}

const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
  "*/*",
].join(", ");

/** Attempts at a manifest when its connection breaks. */
const MANIFEST_ATTEMPTS = 3;

class HttpRegistryClient implements RegistryClient {
  readonly #options: RegistryOptions;
  readonly #requests: RepositoryRequests;
  /** The mirror that sent each blob. */
  readonly #senders = new Map<Digest, Mirror>();
  readonly #pieces = new PieceRight();
  /** `registry repository`: repositories from which blobs cannot be mounted. */
  readonly #notMountable = new Set<string>();
  /** `registry/repository digest`: blobs that a repository has, because it said so or has just taken them. */
  readonly #present = new Set<string>();

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#requests = new RepositoryRequests(options);
  }

  async ping(registry: string, signal: AbortSignal): Promise<void> {
    const purpose: Purpose = { doing: `log in to "${registry}"`, registry };
    const host = this.#requests.origin({ registry, repository: "" });
    const request: HttpRequest = { method: "GET", url: this.#requests.urlOf(host, "/v2/"), headers: {} };
    const permission = { repository: { registry, repository: "" }, scopes: [], purpose };
    const response = await this.#requests.send(host, request, permission, signal);
    const body = await textOf(response, 64 << 10);
    if (response.status !== 200) throw refused(purpose, { status: response.status, body });
  }

  async resolve(ref: ImageRef, signal: AbortSignal): Promise<RemoteManifest> {
    const name = familiarReference(ref);
    const reference = ref.digest ?? ref.tag ?? "latest";
    return this.#manifest(ref, { reference, digest: ref.digest, doing: `pull ${JSON.stringify(name)}` }, signal);
  }

  async describe(ref: ImageRef, attempts: "one" | "many", signal: AbortSignal): Promise<Descriptor> {
    const purpose: Purpose = { doing: `look up ${JSON.stringify(familiarReference(ref))}`, registry: ref.registry };
    const path = `manifests/${ref.digest ?? ref.tag ?? "latest"}`;
    const request: RepositoryRequest = { method: "HEAD", path, headers: { accept: ACCEPT }, purpose, attempts };
    const described = await this.#requests.pull(
      ref,
      request,
      async (response): Promise<Descriptor | undefined> => {
        response.body.destroy();
        if (response.status === 404 || response.status === 401 || response.status === 403) {
          throw refused(purpose, { status: response.status, body: "" });
        }
        const digest = headerOf(response, "docker-content-digest");
        const mediaType = mediaTypeOf(response);
        const size = Number(headerOf(response, "content-length"));
        const isComplete =
          response.status === 200 && digest !== undefined && isDigest(digest) && mediaType !== undefined && size > 0;
        return isComplete ? { mediaType, digest, size } : undefined;
      },
      signal,
    );
    // Some registries answer HEAD with less than the specification asks for, and some not at all.
    return described ?? (await this.resolve(ref, signal)).descriptor;
  }

  async fetchManifest(
    repository: Repository,
    descriptor: Pick<Descriptor, "digest">,
    signal: AbortSignal,
  ): Promise<RemoteManifest> {
    const { digest } = descriptor;
    const doing = `pull ${JSON.stringify(nameOf(repository, digest))}`;
    return this.#manifest(repository, { reference: digest, digest, doing }, signal);
  }

  async referrers(
    repository: Repository,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined> {
    const name = JSON.stringify(nameOf(repository, subject));
    const purpose: Purpose = { doing: `look up what refers to ${name}`, registry: repository.registry };
    return allReferrers(
      name,
      (path) => {
        const request: RepositoryRequest = { method: "GET", path, headers: { accept: MEDIA_TYPES.ociIndex }, purpose };
        return this.#requests.ask(this.#requests.origin(repository), repository, request, "pull", signal);
      },
      { subject, purpose },
    );
  }

  async fetchBlob(repository: Repository, blob: BlobId, signal: AbortSignal): Promise<Readable> {
    return this.#download(repository, blob, { offsetBytes: 0, check: "digest" }, signal);
  }

  async openBlob(repository: Repository, blob: BlobId, offsetBytes: number, signal: AbortSignal): Promise<Readable> {
    return this.#download(repository, blob, { offsetBytes, check: "none" }, signal);
  }

  async blobExists(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.#present.has(placeOf(repository, digest))) return true;
    const purpose: Purpose = {
      doing: `look up ${JSON.stringify(nameOf(repository, digest))}`,
      registry: repository.registry,
    };
    const response = await this.#requests.push(
      repository,
      { method: "HEAD", path: `blobs/${digest}`, purpose },
      signal,
    );
    response.body.destroy();
    // Not every account that may push may read, nor does all storage answer HEAD; a log-in page is not a blob.
    if (response.status !== 200 || mediaTypeOf(response) === "text/html") return false;
    this.#present.add(placeOf(repository, digest));
    return true;
  }

  async mountBlob(repository: Repository, digest: Digest, from: string, signal: AbortSignal): Promise<boolean> {
    const purpose = pushing(repository);
    const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
    const scopes = [...scopesOf(repository, "pull,push"), `repository:${from}:pull`];
    const way = `${formatRepository(repository)} ${from}`;
    if (this.#notMountable.has(way)) return false;
    try {
      const path = `blobs/uploads/${query}`;
      const request: RepositoryRequest = { method: "POST", path, purpose, scopes, attempts: "one" };
      const response = await this.#requests.push(repository, request, signal);
      await textOf(response, 64 << 10);
      if (response.status === 201) {
        this.#present.add(placeOf(repository, digest));
        return true;
      }
      // 202: the registry opened an upload instead. It is not used, and expires.
      if (response.status >= 400) this.#notMountable.add(way);
    } catch (error) {
      signal.throwIfAborted();
      // For example, the token server refused the other repository. The only cost is an upload, which reports any real
      // error.
      if (!(error instanceof BuildError)) throw error;
      this.#notMountable.add(way);
    }
    return false;
  }

  distrust(digest: Digest): boolean {
    const sender = this.#senders.get(digest);
    if (sender === undefined) return false;
    this.#senders.delete(digest);
    this.#requests.mirrors.giveUp(sender, `it sent other bytes than those of blob ${digest}`, "none");
    return true;
  }

  async pushBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<"exists" | "uploaded"> {
    if (await this.blobExists(repository, blob.descriptor.digest, signal)) return "exists";
    await this.uploadBlob(repository, blob, signal);
    return "uploaded";
  }

  async uploadBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<void> {
    await uploadBlob({ ...this.#uploadTarget(repository), blob, timer: this.#options.timer }, signal);
    this.#present.add(placeOf(repository, blob.descriptor.digest));
  }

  async streamBlob(
    repository: Repository,
    bytes: (offsetBytes: number) => AsyncIterable<Buffer>,
    signal: AbortSignal,
  ): Promise<StreamedBlob> {
    const target = { ...this.#uploadTarget(repository), timer: this.#options.timer };
    const streamed = await streamBlob(target, bytes, signal);
    return {
      ...streamed,
      finish: async (digest, inner) => {
        await streamed.finish(digest, inner);
        this.#present.add(placeOf(repository, digest));
      },
    };
  }

  async pushManifest(
    repository: Repository,
    manifest: { readonly reference: string; readonly mediaType: string; readonly bytes: Uint8Array },
    signal: AbortSignal,
  ): Promise<Descriptor> {
    const { reference, mediaType, bytes } = manifest;
    const purpose = pushing(repository, reference);
    const response = await this.#requests.push(
      repository,
      {
        method: "PUT",
        path: `manifests/${reference}`,
        purpose,
        headers: { "content-type": mediaType },
        body: { sizeBytes: bytes.byteLength, open: () => bytes },
      },
      signal,
    );
    const body = await textOf(response, 64 << 10);
    if (response.status < 200 || response.status > 299) {
      // A blob may have disappeared since: another attempt asks again.
      this.#present.clear();
      const error = refused(purpose, { status: response.status, body });
      const isOfType = (response.status === 400 || response.status === 415) && mediaType.includes(".oci.");
      if (!isOfType) throw error;
      const hint = "if it does not know OCI's media types, use -o type=registry,oci-mediatypes=false";
      throw error.withHint(joinHints(error.hint, hint));
    }
    const digest = digestOf(bytes);
    const theirs = headerOf(response, "docker-content-digest");
    if (theirs !== undefined && theirs !== digest) {
      throw new BuildError(
        "digest/mismatch",
        `Cannot ${purpose.doing}: the registry stored another manifest, "${theirs}"`,
      );
    }
    return { mediaType, digest, size: bytes.byteLength };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#requests[Symbol.asyncDispose]();
  }

  #uploadTarget(repository: Repository): UploadTarget {
    const host = this.#requests.origin(repository);
    const purpose = pushing(repository);
    return {
      purpose,
      uploads: this.#requests.urlOf(host, `/v2/${repository.repository}/blobs/uploads/`),
      request: (request, signal) =>
        this.#requests.send(host, request, { repository, scopes: scopesOf(repository, "pull,push"), purpose }, signal),
    };
  }

  async #manifest(
    repository: Repository,
    wanted: { readonly reference: string; readonly digest: Digest | undefined; readonly doing: string },
    signal: AbortSignal,
  ): Promise<RemoteManifest> {
    const { reference, doing } = wanted;
    const purpose: Purpose = { doing, registry: repository.registry };
    const request = { method: "GET", path: `manifests/${reference}`, headers: { accept: ACCEPT }, purpose } as const;
    let hasBegun = false;
    const accept = async (response: HttpResponse): Promise<RemoteManifest> => {
      if (response.status !== 200)
        throw refused(purpose, { status: response.status, body: await textOf(response, 64 << 10) });
      hasBegun = true;
      const found = await manifestIn(response, purpose, JSON.stringify(nameOf(repository, reference)), signal);
      if (wanted.digest !== undefined) checkDigest(found, wanted.digest, nameOf(repository, reference));
      return found;
    };
    for (let attempt = 1; ; attempt += 1) {
      try {
        hasBegun = false;
        return await this.#requests.pull(repository, request, accept, signal);
      } catch (error) {
        // A request without an answer has been retried already; an answer that broke off has not.
        const brokeOff = hasBegun && error instanceof BuildError && error.code === "registry/unreachable";
        if (!brokeOff || attempt === MANIFEST_ATTEMPTS) throw error;
      }
    }
  }

  async #download(
    repository: Repository,
    blob: BlobId,
    part: { readonly offsetBytes: number; readonly check: "digest" | "none" },
    signal: AbortSignal,
  ): Promise<Readable> {
    const purpose: Purpose = {
      doing: `pull ${JSON.stringify(nameOf(repository, blob.digest))}`,
      registry: repository.registry,
    };
    return downloadBlob(
      {
        blob,
        purpose,
        ...part,
        timer: this.#options.timer,
        pieces: this.#pieces,
        request: ({ range, kind }, accept, inner) => {
          const headers = range === undefined ? {} : { range };
          const sender = this.#senders.get(blob.digest);
          if (kind === "another" && sender !== undefined)
            this.#requests.mirrors.giveUp(sender, "the connection broke off", "none");
          if (kind !== "piece") this.#senders.delete(blob.digest);
          const request: RepositoryRequest = { method: "GET", path: `blobs/${blob.digest}`, headers, purpose };
          const accepted = async (response: HttpResponse, mirror: Mirror | undefined): Promise<Readable> => {
            if (mirror === undefined) return accept(response);
            checkBlobAnswer(response, blob.size - part.offsetBytes, purpose);
            const body = await accept(response);
            this.#senders.set(blob.digest, mirror);
            return body;
          };
          return this.#requests.pull(repository, request, accepted, inner);
        },
      },
      signal,
    );
  }
}

/** Names a blob in a repository. */
function placeOf(repository: Repository, digest: Digest): string {
  return `${formatRepository(repository)} ${digest}`;
}

function checkDigest(found: RemoteManifest, wanted: Digest, name: string): void {
  if (found.descriptor.digest === wanted) return;
  throw new BuildError(
    "digest/mismatch",
    `Cannot pull ${JSON.stringify(name)}: the registry sent a manifest with digest "${found.descriptor.digest}"`,
  );
}
