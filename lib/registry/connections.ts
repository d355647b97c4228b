import type { Dispatcher } from "undici";
import { type ProxySettings, proxyFor } from "./proxy.ts";
import type { HostSettings } from "./host.ts";

/** A silence this long, before or between bytes, counts as a broken connection. */
const SILENCE_MS = 60_000;
const CONNECT_MS = 20_000;
/** The same limit for a mirror, which is asked before others. */
const SHORT_SILENCE_MS = 15_000;
const SHORT_CONNECT_MS = 3_000;
/**
 * Milliseconds for one of several addresses before the next is tried. Node's default of 250 is less than some
 * connections take.
 */
const ADDRESS_MS = 1_500;

/** Settings for reaching servers. */
export interface ConnectionOptions {
  /** PEM certificates trusted for every host, besides those of Node and the system. */
  readonly ca?: readonly string[];
  readonly proxy?: ProxySettings;
}

/** Connections to one host, or to any, through a proxy where one is set. */
export interface Connections extends AsyncDisposable {
  readonly dispatcher: Dispatcher;
}

export async function openConnections(
  options: ConnectionOptions,
  host: Pick<HostSettings, "ca" | "insecure" | "client">,
  patience: "short" | "long" = "long",
): Promise<Connections> {
  // Loaded here and not at the top: loading takes longer than a whole cached build.
  const { Agent, ProxyAgent } = await import("undici");
  const { getCACertificates } = process.getBuiltinModule("node:tls");
  const extra = [...(options.ca ?? []), ...(host.ca ?? [])];
  const tls = {
    timeout: patience === "short" ? SHORT_CONNECT_MS : CONNECT_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_MS,
    ...(extra.length === 0 ? {} : { ca: [...getCACertificates("default"), ...extra] }),
    ...(host.insecure === true ? { rejectUnauthorized: false } : {}),
    ...host.client,
  };
  const silenceMs = patience === "short" ? SHORT_SILENCE_MS : SILENCE_MS;
  const settings = { connect: tls, headersTimeout: silenceMs, bodyTimeout: silenceMs, allowH2: false };
  const direct = new Agent(settings);
  const proxies = new Map<string, Dispatcher>();
  const proxyAt = (url: URL): Dispatcher => {
    const known = proxies.get(url.href);
    if (known !== undefined) return known;
    const agent = new ProxyAgent({ ...settings, uri: url.href, requestTls: tls, proxyTls: tls });
    proxies.set(url.href, agent);
    return agent;
  };
  const { proxy } = options;
  const dispatcher =
    proxy === undefined
      ? direct
      : direct.compose((dispatch) => (request, handler) => {
          const url = request.origin === undefined ? undefined : proxyFor(new URL(request.origin), proxy);
          return url === undefined ? dispatch(request, handler) : proxyAt(url).dispatch(request, handler);
        });
  return {
    dispatcher,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([direct, ...proxies.values()].map((agent) => agent.destroy()));
    },
  };
}
