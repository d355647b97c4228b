import type { Readable } from "node:stream";
import { type Digest, digestOf, isDigest } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../core/manifest.ts";
import { type Descriptor, MEDIA_TYPES } from "../core/oci.ts";
import { familiarReference, type ImageRef } from "../core/reference.ts";
import { Authorizer, type Scope } from "./auth.ts";
import { type Purpose, refused } from "./failure.ts";
import { type Host, hostOf, isAt } from "./host.ts";
import { downloadBlob } from "./pull-blob.ts";
import { streamBlob, uploadBlob, type UploadTarget } from "./push-blob.ts";
import type {
  BlobId,
  BlobSource,
  RegistryClient,
  RegistryOptions,
  RemoteManifest,
  Repository,
  StreamedBlob,
} from "./registry.ts";
import { bytesOf, headerOf, type HttpRequest, type HttpResponse, textOf, Transport } from "./transport.ts";

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

class HttpRegistryClient implements RegistryClient {
  readonly #options: RegistryOptions;
  readonly #transport: Transport;
  readonly #authorizer: Authorizer;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.#transport = new Transport(options);
    this.#authorizer = new Authorizer(this.#transport, options);
  }

  async resolve(ref: ImageRef, signal: AbortSignal): Promise<RemoteManifest> {
    const name = familiarReference(ref);
    const found = await this.#manifest(ref, ref.digest ?? ref.tag ?? "latest", `pull ${JSON.stringify(name)}`, signal);
    if (ref.digest !== undefined) checkDigest(found, ref.digest, name);
    return found;
  }

  async describe(ref: ImageRef, signal: AbortSignal): Promise<Descriptor> {
    const purpose: Purpose = { doing: `look up ${JSON.stringify(familiarReference(ref))}`, registry: ref.registry };
    const path = `manifests/${ref.digest ?? ref.tag ?? "latest"}`;
    const response = await this.#pull(ref, { method: "HEAD", path, headers: { accept: ACCEPT }, purpose }, signal);
    response.body.destroy();
    if (response.status === 404 || response.status === 401 || response.status === 403) {
      throw refused(purpose, { status: response.status, body: "" });
    }
    const digest = headerOf(response, "docker-content-digest");
    const mediaType = mediaTypeOf(response);
    const size = Number(headerOf(response, "content-length"));
    const isComplete =
      response.status === 200 && digest !== undefined && isDigest(digest) && mediaType !== undefined && size > 0;
    // Some registries answer HEAD with less than the specification asks for, and some not at all.
    return isComplete ? { mediaType, digest, size } : (await this.resolve(ref, signal)).descriptor;
  }

  async fetchManifest(
    repository: Repository,
    descriptor: Pick<Descriptor, "digest">,
    signal: AbortSignal,
  ): Promise<RemoteManifest> {
    const name = nameOf(repository, descriptor.digest);
    const found = await this.#manifest(repository, descriptor.digest, `pull ${JSON.stringify(name)}`, signal);
    checkDigest(found, descriptor.digest, name);
    return found;
  }

  async fetchBlob(repository: Repository, blob: BlobId, signal: AbortSignal): Promise<Readable> {
    return this.#download(repository, blob, { offsetBytes: 0, check: "digest" }, signal);
  }

  async openBlob(repository: Repository, blob: BlobId, offsetBytes: number, signal: AbortSignal): Promise<Readable> {
    return this.#download(repository, blob, { offsetBytes, check: "none" }, signal);
  }

  async blobExists(repository: Repository, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const purpose: Purpose = {
      doing: `look up ${JSON.stringify(nameOf(repository, digest))}`,
      registry: repository.registry,
    };
    const response = await this.#push(repository, { method: "HEAD", path: `blobs/${digest}`, purpose }, signal);
    response.body.destroy();
    if (response.status === 200) return true;
    if (response.status === 404) return false;
    throw refused(purpose, { status: response.status, body: "" });
  }

  async mountBlob(repository: Repository, digest: Digest, from: string, signal: AbortSignal): Promise<boolean> {
    const purpose = pushing(repository);
    const query = `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
    const scopes = [...scopesOf(repository, "pull,push"), `repository:${from}:pull`];
    const response = await this.#push(
      repository,
      { method: "POST", path: `blobs/uploads/${query}`, purpose, scopes },
      signal,
    );
    const body = await textOf(response, 64 << 10);
    if (response.status === 201) return true;
    if (response.status >= 400) {
      // Not being allowed to read the other repository only means that the blob has to be uploaded.
      if (response.status === 401 || response.status === 403 || response.status === 404) return false;
      throw refused(purpose, { status: response.status, body });
    }
    // 202: the registry has opened an upload instead. It is not used, and expires.
    return false;
  }

  async pushBlob(repository: Repository, blob: BlobSource, signal: AbortSignal): Promise<"exists" | "uploaded"> {
    if (await this.blobExists(repository, blob.descriptor.digest, signal)) return "exists";
    await uploadBlob({ ...this.#uploadTarget(repository), blob, timer: this.#options.timer }, signal);
    return "uploaded";
  }

  async streamBlob(repository: Repository, bytes: AsyncIterable<Buffer>, signal: AbortSignal): Promise<StreamedBlob> {
    return streamBlob(this.#uploadTarget(repository), bytes, signal);
  }

  async pushManifest(
    repository: Repository,
    manifest: { readonly reference: string; readonly mediaType: string; readonly bytes: Uint8Array },
    signal: AbortSignal,
  ): Promise<Descriptor> {
    const { reference, mediaType, bytes } = manifest;
    const purpose = pushing(repository, reference);
    const response = await this.#push(
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
    if (response.status < 200 || response.status > 299) throw refused(purpose, { status: response.status, body });
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
    await this.#transport[Symbol.asyncDispose]();
  }

  #uploadTarget(repository: Repository): UploadTarget {
    const host = this.#origin(repository);
    const purpose = pushing(repository);
    return {
      purpose,
      uploads: this.#transport.urlOf(host, `/v2/${repository.repository}/blobs/uploads/`),
      request: (request, signal) => this.#send(host, request, scopesOf(repository, "pull,push"), purpose, signal),
    };
  }

  async #manifest(
    repository: Repository,
    reference: string,
    doing: string,
    signal: AbortSignal,
  ): Promise<RemoteManifest> {
    const purpose: Purpose = { doing, registry: repository.registry };
    const request = { method: "GET", path: `manifests/${reference}`, headers: { accept: ACCEPT }, purpose } as const;
    const response = await this.#pull(repository, request, signal);
    if (response.status !== 200)
      throw refused(purpose, { status: response.status, body: await textOf(response, 64 << 10) });
    const bytes = await bytesOf(response, MAX_MANIFEST_BYTES);
    if (bytes.length > MAX_MANIFEST_BYTES) {
      throw new BuildError(
        "registry/malformed",
        `Cannot ${doing}: the manifest is larger than ${MAX_MANIFEST_BYTES} bytes`,
      );
    }
    const where = JSON.stringify(nameOf(repository, reference));
    const document = parseManifestDocument(bytes, mediaTypeOf(response) ?? "", where);
    const { mediaType } = document.kind === "index" ? document.index : document.manifest;
    return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes, document };
  }

  async #download(
    repository: Repository,
    blob: BlobId,
    at: { readonly offsetBytes: number; readonly check: "digest" | "none" },
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
        ...at,
        timer: this.#options.timer,
        request: async (range, inner) => {
          const headers = range === undefined ? {} : { range };
          return this.#pull(repository, { method: "GET", path: `blobs/${blob.digest}`, headers, purpose }, inner);
        },
      },
      signal,
    );
  }

  /** Asks the mirrors first; one that fails in any way is passed over, for the registry itself has the last word. */
  async #pull(repository: Repository, request: RepositoryRequest, signal: AbortSignal): Promise<HttpResponse> {
    for (const mirror of this.#options.hosts?.get(repository.registry)?.mirrors ?? []) {
      const host = hostOf(mirror, this.#options.hosts?.get(mirror) ?? {});
      try {
        const response = await this.#ask(host, repository, request, "pull", signal);
        if (response.status === 200 || response.status === 206) return response;
        response.body.destroy();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof BuildError)) throw error;
      }
    }
    return this.#ask(this.#origin(repository), repository, request, "pull", signal);
  }

  async #push(repository: Repository, request: RepositoryRequest, signal: AbortSignal): Promise<HttpResponse> {
    return this.#ask(this.#origin(repository), repository, request, "pull,push", signal);
  }

  async #ask(
    host: Host,
    repository: Repository,
    request: RepositoryRequest,
    actions: "pull" | "pull,push",
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    const { method, path, headers = {}, body, purpose, scopes = scopesOf(repository, actions) } = request;
    const url = this.#transport.urlOf(host, `/v2/${repository.repository}/${path}`);
    return this.#send(host, { method, url, headers, ...(body === undefined ? {} : { body }) }, scopes, purpose, signal);
  }

  async #send(
    host: Host,
    request: HttpRequest,
    scopes: readonly Scope[],
    purpose: Purpose,
    signal: AbortSignal,
  ): Promise<HttpResponse> {
    // An upload may have been sent elsewhere (storage with signed URLs): our credentials are not for there.
    if (!isAt(request.url, host)) return this.#transport.send(host, request, purpose, signal);
    return this.#authorizer.send(host, request, { scopes, purpose }, signal);
  }

  #origin(repository: Repository): Host {
    return hostOf(repository.registry, this.#options.hosts?.get(repository.registry) ?? {});
  }
}

interface RepositoryRequest {
  readonly method: HttpRequest["method"];
  /** Below `/v2/<name>/`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: NonNullable<HttpRequest["body"]>;
  readonly purpose: Purpose;
  readonly scopes?: readonly Scope[];
}

function scopesOf(repository: Repository, actions: "pull" | "pull,push"): readonly Scope[] {
  return [`repository:${repository.repository}:${actions}`];
}

function nameOf(repository: Repository, reference?: string): string {
  const isReference = reference !== undefined && isDigest(reference);
  return familiarReference({
    registry: repository.registry,
    repository: repository.repository,
    tag: isReference ? undefined : reference,
    digest: isReference ? reference : undefined,
  });
}

function pushing(repository: Repository, reference?: string): Purpose {
  return { doing: `push ${JSON.stringify(nameOf(repository, reference))}`, registry: repository.registry };
}

/** Without parameters: some registries add a character set. */
function mediaTypeOf(response: HttpResponse): string | undefined {
  return headerOf(response, "content-type")?.split(";")[0]?.trim();
}

function checkDigest(found: RemoteManifest, wanted: Digest, name: string): void {
  if (found.descriptor.digest === wanted) return;
  throw new BuildError(
    "digest/mismatch",
    `Cannot pull ${JSON.stringify(name)}: the registry sent a manifest with digest "${found.descriptor.digest}"`,
  );
}
