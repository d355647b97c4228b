import { digestOf } from "../core/digest.ts";
import { BuildError } from "../core/errors.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../core/manifest.ts";
import { type Purpose, unreachable } from "./failure.ts";
import type { RemoteManifest } from "./registry.ts";
import { bytesOf, headerOf, type HttpResponse } from "./transport.ts";

/**
 * Reads the manifest of an answer.
 * @throws {BuildError} `registry/malformed` for the web page of a proxy or a log-in, among others;
 * `registry/unreachable` when the connection breaks
 */
export async function manifestIn(
  response: HttpResponse,
  purpose: Purpose,
  where: string,
  signal: AbortSignal,
): Promise<RemoteManifest> {
  const { doing } = purpose;
  const type = mediaTypeOf(response) ?? "";
  if (type === "text/html") throw webPage(doing, response);
  const bytes = await bytesOf(response, MAX_MANIFEST_BYTES).catch((error: unknown) => {
    signal.throwIfAborted();
    throw unreachable(purpose, error, { host: response.url.host });
  });
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new BuildError(
      "registry/malformed",
      `Cannot ${doing}: the manifest is larger than ${MAX_MANIFEST_BYTES} bytes`,
    );
  }
  const document = parseManifestDocument(bytes, type, where);
  const { mediaType } = document.kind === "index" ? document.index : document.manifest;
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length }, bytes, document };
}

function webPage(doing: string, response: HttpResponse): BuildError {
  response.body.destroy();
  return new BuildError("registry/malformed", `Cannot ${doing}: a web page of "${response.url.host}" came instead`, {
    hint: "a page to log in at, or of a proxy on the way, answers in the registry's place",
  });
}

/**
 * Checks an answer's headers.
 * @throws {BuildError} for an answer that cannot be the blob, before its first byte
 */
export function checkBlobAnswer(response: HttpResponse, sizeBytes: number, purpose: Purpose): void {
  if (mediaTypeOf(response) === "text/html") throw webPage(purpose.doing, response);
  const length = headerOf(response, "content-length");
  if (response.status !== 200 || length === undefined || Number(length) >= sizeBytes) return;
  response.body.destroy();
  throw new BuildError("registry/malformed", `Cannot ${purpose.doing}: ${length} bytes came, and it has ${sizeBytes}`);
}

/** Returns the media type without its parameters: some registries add a character set. */
export function mediaTypeOf(response: HttpResponse): string | undefined {
  return headerOf(response, "content-type")?.split(";")[0]?.trim();
}
