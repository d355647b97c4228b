import { constants } from "node:fs";
import { chmod, chown, copyFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { type Digest, isDigest } from "../../../src/core/digest.ts";
import { BuildError, messageOf } from "../../../src/core/errors.ts";
import { isRecord, parseJson } from "../../../src/core/json.ts";
import type { Fetch } from "../../../src/registry/fetch.ts";
import type { Store } from "../../../src/store/store.ts";
import type { HttpOp } from "../../graph/op.ts";
import type { RemoteSource, SecretSource } from "../../ports.ts";
import { requestOf, shownUrl } from "./request.ts";

/** What the store remembers of a URL: enough to ask "has it changed?" instead of downloading it again. */
interface Remembered {
  readonly digest: Digest;
  readonly etag: string | undefined;
  /** As the server wrote it. */
  readonly lastModified: string | undefined;
}

const FACT_KIND = "http";

export interface HttpSourceDeps {
  readonly store: Pick<Store, "blobs" | "facts">;
  readonly fetch: Fetch;
  /** Asked for `HTTP_AUTH_TOKEN_<host>` and `HTTP_AUTH_HEADER_<host>`. */
  readonly secrets: SecretSource;
}

/**
 * Files by URL, for ADD. A URL seen before is asked about with its ETag or date; one with a checksum whose bytes are in
 * the store is not asked about at all.
 */
export function createHttpSource(on: HttpSourceDeps): RemoteSource<HttpOp> {
  return {
    async find(op, signal) {
      const found = await current(op, on, signal);
      if (op.checksum !== undefined && found.digest !== op.checksum) {
        throw new BuildError(
          "source/http",
          `Cannot use ${shownUrl(op.url)}: its digest is ${found.digest}, and ${op.checksum} was expected`,
          { hint: "the file has changed since the checksum was written down, or the checksum belongs to another file" },
        );
      }
      const modifiedMs = found.lastModified === undefined ? Number.NaN : Date.parse(found.lastModified);
      // Whole seconds: HTTP dates have no more. Without a date, the epoch, so that equal bytes give equal layers.
      const mtime = Number.isNaN(modifiedMs) ? 0 : Math.floor(modifiedMs / 1000);
      return {
        parts: [
          { name: "file name", value: op.filename },
          { name: "mode", value: op.mode.toString(8) },
          { name: "owner", value: `${op.uid}:${op.gid}` },
          { name: "content", value: found.digest },
          { name: "modified", value: String(mtime) },
        ],
        async writeTo(directory, writeSignal) {
          writeSignal.throwIfAborted();
          const path = join(directory, safeFileName(op.filename));
          await copyFile(
            on.store.blobs.pathOf(found.digest),
            path,
            constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL,
          );
          await chown(path, op.uid, op.gid);
          await chmod(path, op.mode);
          await utimes(path, mtime, mtime);
        },
        date: async () => (Number.isNaN(modifiedMs) ? undefined : mtime),
      };
    },
  };
}

async function current(op: HttpOp, on: HttpSourceDeps, signal: AbortSignal): Promise<Remembered> {
  const remembered = recall(op.url, on);
  if (remembered !== undefined && remembered.digest === op.checksum) return remembered;
  const { headers, url } = await requestOf(op.url, on.secrets, signal);
  if (remembered?.etag !== undefined) headers.set("if-none-match", remembered.etag);
  else if (remembered?.lastModified !== undefined) headers.set("if-modified-since", remembered.lastModified);
  let response: Response;
  try {
    response = await on.fetch(url, { headers, signal, redirect: "follow" });
  } catch (error) {
    signal.throwIfAborted();
    throw unreachableUrl(op.url, error);
  }
  if (response.status === 304 && remembered !== undefined) {
    await response.body?.cancel();
    return remembered;
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new BuildError(
      "source/http",
      `Cannot download ${shownUrl(op.url)}: the server answered ${response.status} ${response.statusText}`.trimEnd(),
      {
        hint:
          response.status === 401 || response.status === 403
            ? `give credentials with --secret id=HTTP_AUTH_TOKEN_${new URL(op.url).hostname},...`
            : undefined,
      },
    );
  }
  const fresh: Remembered = {
    digest: (await keep(op.url, response.body, on, signal)).digest,
    etag: response.headers.get("etag") ?? undefined,
    lastModified: response.headers.get("last-modified") ?? undefined,
  };
  on.store.facts.set(FACT_KIND, op.url, {
    value: new TextEncoder().encode(JSON.stringify(fresh)),
    blobs: [fresh.digest],
  });
  return fresh;
}

async function keep(
  url: string,
  body: ReadableStream,
  on: HttpSourceDeps,
  signal: AbortSignal,
): Promise<{ readonly digest: Digest }> {
  try {
    return await on.store.blobs.write(Readable.fromWeb(body), undefined, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BuildError) throw error;
    throw unreachableUrl(url, error);
  }
}

/** `undefined` when the URL was never seen, what is known of it makes no sense, or its bytes have been collected. */
function recall(url: string, on: HttpSourceDeps): Remembered | undefined {
  const fact = on.store.facts.get(FACT_KIND, url);
  if (fact === undefined) return undefined;
  const json = parseJson(new TextDecoder().decode(fact.value));
  if (!isRecord(json)) return undefined;
  const { digest, etag, lastModified } = json;
  if (typeof digest !== "string" || !isDigest(digest) || !on.store.blobs.has(digest)) return undefined;
  return {
    digest,
    etag: typeof etag === "string" ? etag : undefined,
    lastModified: typeof lastModified === "string" ? lastModified : undefined,
  };
}

function unreachableUrl(url: string, error: unknown): BuildError {
  // fetch says "fetch failed" and puts what happened into the cause.
  const reason = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return new BuildError("source/http", `Cannot download ${shownUrl(url)}: ${messageOf(reason)}`, { cause: error });
}

function safeFileName(name: string): string {
  return name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")
    ? "__unnamed__"
    : name;
}
