import type { Dispatcher } from "undici";
import type { ConnectionOptions } from "./connection-options.ts";
import { type Connections, openConnections } from "./connections.ts";

/** The part of the global `fetch` in use. */
export type Fetch = (
  url: string | URL,
  init: { readonly headers?: Headers; readonly signal: AbortSignal; readonly redirect?: "follow" },
) => Promise<Response>;

const MAX_REDIRECTS = 20;
/** Statuses without a body; a Response insists on that. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * Makes a `fetch` with the settings for registries: through the configured proxy, trusting the certificates of the
 * system. Nothing is loaded or connected before the first request.
 *
 * Unlike in browsers, any port is allowed.
 */
export function createFetch(options: () => ConnectionOptions): { readonly fetch: Fetch } & AsyncDisposable {
  let opened: Promise<Connections> | undefined;
  return {
    async fetch(url, { headers, signal }) {
      opened ??= openConnections(options(), {});
      const { dispatcher } = await opened;
      return follow(dispatcher, new URL(url), new Headers([...(headers ?? [])]), signal);
    },
    [Symbol.asyncDispose]: async () => {
      const connections = await opened?.catch(() => undefined);
      await connections?.[Symbol.asyncDispose]();
    },
  };
}

async function follow(dispatcher: Dispatcher, first: URL, headers: Headers, signal: AbortSignal): Promise<Response> {
  let url = first;
  for (let redirects = 0; ; redirects += 1) {
    if (url.protocol !== "http:" && url.protocol !== "https:")
      throw new Error(`there is no way to ask ${url.protocol}`);
    const answer = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: "GET",
      headers: Object.fromEntries(headers),
      signal,
    });
    const { location } = answer.headers;
    if (![301, 302, 303, 307, 308].includes(answer.statusCode) || typeof location !== "string") {
      return responseOf(answer, url);
    }
    answer.body.on("error", () => undefined).destroy();
    if (redirects === MAX_REDIRECTS) throw new Error(`it redirects more than ${MAX_REDIRECTS} times`);
    if (!URL.canParse(location, url.href)) throw new Error("it redirects to what is no URL");
    const next = new URL(location, url);
    // The credentials for one server must not reach another that it redirects to.
    if (next.origin !== url.origin) headers.delete("authorization");
    url = next;
  }
}

function responseOf({ statusCode, statusText, headers, body }: Dispatcher.ResponseData, url: URL): Response {
  const pairs = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    [value ?? []].flat().map((one) => [name, one]),
  );
  const isBodiless = BODILESS.has(statusCode);
  if (isBodiless) body.on("error", () => undefined).destroy();
  const response = new Response(isBodiless ? null : toWeb(body), { status: statusCode, statusText, headers: pairs });
  // A Response made by hand has no URL.
  Object.defineProperty(response, "url", { value: url.href });
  return response;
}

/** Adapts a body by hand: Node's own adapter ends the process when a body is abandoned half-way. */
function toWeb(body: Dispatcher.ResponseData["body"]): ReadableStream<Uint8Array> {
  const pieces: AsyncIterator<unknown> = body[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = await pieces.next();
        if (piece.done === true) controller.close();
        else if (piece.value instanceof Uint8Array) controller.enqueue(piece.value);
        else throw new Error("A body of bytes has something else in it");
      },
      cancel() {
        body.on("error", () => undefined).destroy();
      },
    },
    { highWaterMark: 0 },
  );
}
