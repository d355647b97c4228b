import { type ConnectionOptions, type Connections, openConnections } from "./connections.ts";

/** What is used of the global `fetch`. */
export type Fetch = (
  url: string | URL,
  init: { readonly headers?: Headers; readonly signal: AbortSignal; readonly redirect?: "follow" },
) => Promise<Response>;

/**
 * `fetch` as registries are reached: through the configured proxy, trusting the certificates of the system. Nothing is
 * loaded or connected before the first request.
 */
export function createFetch(options: () => ConnectionOptions): { readonly fetch: Fetch } & AsyncDisposable {
  let opened: Promise<Connections> | undefined;
  return {
    async fetch(url, { headers, ...init }) {
      const { fetch } = await import("undici");
      opened ??= openConnections(options(), {});
      const { dispatcher } = await opened;
      return fetch(url, { ...init, dispatcher, headers: [...(headers ?? [])] });
    },
    [Symbol.asyncDispose]: async () => {
      const connections = await opened?.catch(() => undefined);
      await connections?.[Symbol.asyncDispose]();
    },
  };
}
