import { constants } from "node:fs";
import { chmod, chown, copyFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { timed } from "../../../lib/core/debug.ts";
import { type Digest, isDigest } from "../../../lib/core/digest.ts";
import { BuildError } from "../../../lib/core/errors.ts";
import { isRecord, parseJson } from "../../../lib/core/json.ts";
import type { Store } from "../../../lib/store/store.ts";
import type { HttpOp } from "../../graph/op.ts";
import type { Asking, RemoteSource } from "../../ports.ts";
import { type Answer, get, type GetDeps } from "./get.ts";
import { shownUrl } from "./request.ts";

/** Facts about a URL in the store, enough for a conditional request instead of another download. */
interface Remembered {
  readonly digest: Digest;
  /** URL after redirects. */
  readonly finalUrl: string;
  /** An entity tag that proves equal bytes; see `provingTag`. */
  readonly etag: string | undefined;
  /**
   * The server's text. It dates the file, but does not prove that it is unchanged: a file rolled back has an older
   * date.
   */
  readonly lastModified: string | undefined;
}

const FACT_KIND = "http";
/** HTTP dates are whole seconds, of clocks that need not agree. */
const SETTLED_MS = 2000;

export interface HttpSourceDeps extends GetDeps {
  readonly store: Pick<Store, "blobs" | "facts">;
  /** True when no server may be asked: an earlier download is then good enough. */
  readonly isOffline?: boolean;
}

/**
 * Makes the source of files by URL, for ADD. A known URL is requested with its ETag, where that proves something; a URL
 * with a checksum and its bytes in the store is not requested at all. In every other case the bytes are downloaded, and
 * their digest decides.
 */
export function createHttpSource(deps: HttpSourceDeps): RemoteSource<HttpOp> {
  // One build asks once, and all instructions that use the file get the same answer.
  const asked = new Map<string, Promise<Remembered>>();
  return {
    async find(op, signal) {
      const question = `${op.again === true} ${op.checksum ?? ""} ${op.url}`;
      const ask = (): Promise<Remembered> =>
        timed(
          "sources",
          () => `ask for ${shownUrl(op.url)}`,
          () => current(op, deps, signal),
        );
      const answer = asked.get(question) ?? ask();
      asked.set(question, answer);
      const found = await answer;
      if (op.checksum !== undefined && found.digest !== op.checksum) {
        throw new BuildError(
          "source/http",
          `Cannot use ${shownUrl(op.url)}: its digest is ${found.digest}, and ${op.checksum} was expected`,
          { hint: "the file has changed since the checksum was written down, or the checksum belongs to another file" },
        );
      }
      const modifiedMs = found.lastModified === undefined ? Number.NaN : Date.parse(found.lastModified);
      // Whole seconds: HTTP dates have no more. Without a date, the epoch, so that equal bytes give equal layers.
      const mtime = op.modified ?? (Number.isNaN(modifiedMs) ? 0 : Math.floor(modifiedMs / 1000));
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
            deps.store.blobs.pathOf(found.digest),
            path,
            constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL,
          );
          await chown(path, op.uid, op.gid);
          await chmod(path, op.mode);
          await utimes(path, mtime, mtime);
        },
        date: async () => (Number.isNaN(modifiedMs) ? undefined : Math.floor(modifiedMs / 1000)),
      };
    },
  };
}

async function current(op: HttpOp & Asking, deps: HttpSourceDeps, signal: AbortSignal): Promise<Remembered> {
  const remembered = recall(op.url, deps);
  if (remembered !== undefined && remembered.digest === op.checksum) return remembered;
  if (deps.isOffline === true) {
    if (remembered !== undefined) return remembered;
    throw new BuildError("source/http", `Cannot download ${shownUrl(op.url)}: the build is to be offline`, {
      hint: "build once without --offline, or give its --checksum when the store has it under another address",
    });
  }
  const etag = op.again === true ? undefined : remembered?.etag;
  const answer = await get(op.url, etag, deps, signal);
  if (answer.body !== "unchanged") return keep(op.url, { ...answer, body: answer.body }, deps, signal);
  // A tag means something only at its own URL: a redirect may lead elsewhere now.
  const isSame = answer.finalUrl === remembered?.finalUrl && (answer.headers.get("etag") ?? etag) === etag;
  if (isSame && remembered !== undefined) return remembered;
  const fresh = await get(op.url, undefined, deps, signal);
  if (fresh.body === "unchanged") throw new Error("An answer to a question that was not asked");
  return keep(op.url, { ...fresh, body: fresh.body }, deps, signal);
}

/** Stores the bytes, and the facts for a later conditional request. */
async function keep(
  url: string,
  { body, headers, finalUrl }: Answer & { readonly body: AsyncIterable<Uint8Array> },
  deps: HttpSourceDeps,
  signal: AbortSignal,
): Promise<Remembered> {
  const { digest } = await deps.store.blobs.write(Readable.from(body), {}, signal);
  const fresh: Remembered = {
    digest,
    finalUrl,
    etag: provingTag(headers),
    lastModified: headers.get("last-modified") ?? undefined,
  };
  deps.store.facts.set(FACT_KIND, url, {
    value: new TextEncoder().encode(JSON.stringify(fresh)),
    blobs: [fresh.digest],
  });
  return fresh;
}

/**
 * Returns the entity tag, if an equal one proves equal bytes. A weak one means "equivalent". Many servers derive theirs
 * from size and time in seconds: the tag of a file that changed within the last seconds may fit its next bytes too.
 */
function provingTag(headers: Headers): string | undefined {
  const etag = headers.get("etag") ?? "";
  if (!/^"[^"]*"$/.test(etag)) return undefined;
  const modifiedMs = Date.parse(headers.get("last-modified") ?? "");
  const servedMs = Date.parse(headers.get("date") ?? "");
  return modifiedMs > servedMs - SETTLED_MS || (Number.isNaN(servedMs) && !Number.isNaN(modifiedMs)) ? undefined : etag;
}

/**
 * Recalls the facts about a URL; `undefined` when it is unknown, the facts are malformed, or its bytes have been
 * collected.
 */
function recall(url: string, deps: HttpSourceDeps): Remembered | undefined {
  const fact = deps.store.facts.get(FACT_KIND, url);
  if (fact === undefined) return undefined;
  const json = parseJson(new TextDecoder().decode(fact.value));
  if (!isRecord(json)) return undefined;
  const { digest, etag, lastModified, finalUrl } = json;
  if (typeof digest !== "string" || !isDigest(digest) || !deps.store.blobs.has(digest)) return undefined;
  return {
    digest,
    finalUrl: typeof finalUrl === "string" ? finalUrl : "",
    etag: typeof etag === "string" && typeof finalUrl === "string" ? etag : undefined,
    lastModified: typeof lastModified === "string" ? lastModified : undefined,
  };
}

function safeFileName(name: string): string {
  return name === "" || name === "." || name === ".." || name.includes("/") || name.includes("\0")
    ? "__unnamed__"
    : name;
}
