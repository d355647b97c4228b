import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import type { Fetch } from "../../../lib/registry/fetch.ts";
import { tlsTrouble } from "../../../lib/registry/tls-trouble.ts";
import type { SecretSource } from "../../ports.ts";
import { requestOf, shownUrl } from "./request.ts";

export interface GetDeps {
  readonly fetch: Fetch;
  /** Source of `HTTP_AUTH_TOKEN_<host>` and `HTTP_AUTH_HEADER_<host>`. */
  readonly secrets: SecretSource;
}

/** A server's answer about a URL. */
export interface Answer {
  /** Decoded body: gzip on the way is undone. `unchanged` answers a conditional request. */
  readonly body: AsyncIterable<Uint8Array> | "unchanged";
  readonly headers: Headers;
  /** URL after redirects. */
  readonly finalUrl: string;
}

/**
 * Fetches a URL. Every failure, of the answer and of the body while it is read, names the URL without credentials.
 * @param etag of the known version; the answer may then be `unchanged`
 * @throws {BuildError} `source/http`, also from the body
 */
export async function get(url: string, etag: string | undefined, deps: GetDeps, signal: AbortSignal): Promise<Answer> {
  let response: Response;
  try {
    const { headers, url: asked } = await requestOf(url, deps.secrets, signal);
    if (etag !== undefined) headers.set("if-none-match", etag);
    response = await deps.fetch(asked, { headers, signal, redirect: "follow" });
  } catch (error) {
    signal.throwIfAborted();
    throw unreachableUrl(url, error);
  }
  const { status, headers, body } = response;
  if (status === 304 && etag !== undefined) {
    await body?.cancel();
    return { body: "unchanged", headers, finalUrl: response.url };
  }
  // 206 is a partial answer, which was not requested.
  if (!response.ok || body === null || status === 206) {
    await body?.cancel();
    throw refusal(url, response);
  }
  return { body: checked(url, decoded(body, headers), status, signal), headers, finalUrl: response.url };
}

function refusal(url: string, { status, statusText }: Response): BuildError {
  const isForbidden = status === 401 || status === 403;
  return new BuildError(
    "source/http",
    `Cannot download ${shownUrl(url)}: the server answered ${status} ${statusText}`.trimEnd(),
    {
      hint: isForbidden ? `give credentials with --secret id=HTTP_AUTH_TOKEN_${new URL(url).hostname},...` : undefined,
    },
  );
}

/** Decompresses a body: servers that store files compressed send them so, requested or not. */
function decoded(body: ReadableStream<Uint8Array>, headers: Headers): AsyncIterable<Uint8Array> {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  if (encoding !== "gzip" && encoding !== "x-gzip") return body;
  const { Readable, pipeline } = process.getBuiltinModule("node:stream");
  // Failures of either end come out of the last stream.
  return pipeline(Readable.from(body), process.getBuiltinModule("node:zlib").createGunzip(), () => undefined);
}

async function* checked(
  url: string,
  body: AsyncIterable<Uint8Array>,
  status: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* body;
  } catch (error) {
    signal.throwIfAborted();
    throw new BuildError(
      "source/http",
      `Cannot download ${shownUrl(url)}: the server answered ${status}, and then its file broke off: ${reasonOf(error)}`,
      { hint: "build again; if it stays so, the server or a proxy on the way is at fault", cause: error },
    );
  }
}

function unreachableUrl(url: string, error: unknown): BuildError {
  if (error instanceof BuildError && error.code === "source/http") return error;
  const tls = URL.canParse(url) ? tlsTrouble(causeOf(error), new URL(url).host) : undefined;
  return new BuildError("source/http", `Cannot download ${shownUrl(url)}: ${tls?.what ?? reasonOf(error)}`, {
    hint: tls === undefined ? undefined : "certificates that count are the system's, and those of SSL_CERT_FILE",
    cause: error,
  });
}

/** Finds the reason of a failure: fetch says "fetch failed" and puts the reason into the cause. */
function reasonOf(error: unknown): string {
  return messageOf(causeOf(error));
}

function causeOf(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? error.cause : error;
}
