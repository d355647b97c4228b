import type { Dispatcher } from "undici";
import type { ConnectionOptions } from "./connection-options.ts";
import { proxyFor } from "./proxy.ts";
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
  const connect = {
    timeout: patience === "short" ? SHORT_CONNECT_MS : CONNECT_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_MS,
  };
  const silenceMs = patience === "short" ? SHORT_SILENCE_MS : SILENCE_MS;
  const settings = { headersTimeout: silenceMs, bodyTimeout: silenceMs, allowH2: false };
  const plain = new Agent({ ...settings, connect });
  const others = new Map<string, Dispatcher>();
  const other = (name: string, make: () => Dispatcher): Dispatcher => {
    const known = others.get(name);
    if (known !== undefined) return known;
    const agent = make();
    others.set(name, agent);
    return agent;
  };
  // Made by the first request that needs it: Node's module for TLS, and its certificates, take as long to load as the client.
  const tls = once(() => ({ ...connect, ...tlsSettings(options, host) }));
  const agentFor = (url: URL): Dispatcher | undefined => {
    const proxy = options.proxy === undefined ? undefined : proxyFor(url, options.proxy);
    if (proxy !== undefined) {
      const made = { ...settings, connect: tls(), uri: proxy.href, requestTls: tls(), proxyTls: tls() };
      return other(proxy.href, () => new ProxyAgent(made));
    }
    return url.protocol === "https:" ? other("https:", () => new Agent({ ...settings, connect: tls() })) : undefined;
  };
  const dispatcher = plain.compose((dispatch) => (request, handler) => {
    const agent = request.origin === undefined ? undefined : agentFor(new URL(request.origin));
    return agent === undefined ? dispatch(request, handler) : agent.dispatch(request, handler);
  });
  return {
    dispatcher,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([plain, ...others.values()].map((agent) => agent.destroy()));
    },
  };
}

function tlsSettings(options: ConnectionOptions, host: Pick<HostSettings, "ca" | "insecure" | "client">): TlsSettings {
  const { getCACertificates } = process.getBuiltinModule("node:tls");
  const extra = [...(options.ca ?? []), ...(host.ca ?? [])];
  return {
    ...(extra.length === 0 ? {} : { ca: [...getCACertificates("default"), ...extra] }),
    ...(host.insecure === true ? { rejectUnauthorized: false } : {}),
    ...host.client,
  };
}

interface TlsSettings {
  readonly ca?: string[];
  readonly rejectUnauthorized?: boolean;
  readonly cert?: string;
  readonly key?: string;
}

function once<T extends object>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
