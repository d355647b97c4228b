import { percentDecoded } from "../core/percent.ts";
import { BlockList, isIP } from "node:net";
import { BuildError } from "../core/errors.ts";
import { isLoopback } from "./host.ts";

/** The values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. */
export interface ProxySettings {
  readonly http?: string;
  readonly https?: string;
  readonly noProxy?: string;
}

/**
 * Finds the proxy for requests to `url`, by the rules of Go's golang.org/x/net/http/httpproxy, which docker and
 * BuildKit follow. There is none for this machine itself. NO_PROXY lists names (each with everything below it; only
 * what is below, with a leading dot), addresses and address ranges, optionally with a port, or `*`.
 */
export function proxyFor(url: URL, settings: ProxySettings): URL | undefined {
  const proxy = url.protocol === "https:" ? settings.https : settings.http;
  if (proxy === undefined || proxy === "" || isLoopback(url.host)) return undefined;
  if ((settings.noProxy ?? "").split(",").some((entry) => covers(entry.trim().toLowerCase(), url))) return undefined;
  const text = proxy.includes("://") ? proxy : `http://${proxy}`;
  const parsed = URL.canParse(text) ? withCleanAccount(new URL(text)) : undefined;
  // The proxy resolves names in either case.
  if (parsed?.protocol === "socks5h:") return new URL(text.replace(/^socks5h:/i, "socks5:"));
  if (parsed !== undefined && PROTOCOLS.has(parsed.protocol) && parsed.hostname !== "") return parsed;
  const variable = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  throw new BuildError("registry/configuration", `Cannot reach "${url.host}": ${variable} names no proxy`, {
    hint: `write ${variable}=http://HOST:PORT; https:// and socks5:// are known too`,
  });
}

/** Escapes a stray percent sign of an account; the HTTP client refuses to decode one. */
function withCleanAccount(url: URL): URL {
  url.username = encodeURIComponent(percentDecoded(url.username));
  url.password = encodeURIComponent(percentDecoded(url.password));
  return url;
}

const PROTOCOLS: ReadonlySet<string> = new Set(["http:", "https:", "socks5:", "socks:"]);

function covers(entry: string, url: URL): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  const host = url.hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  const [, range, bits] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (range !== undefined && bits !== undefined) return isWithin(host, range, Number(bits));
  const [, name = entry, port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (port !== undefined && port !== (url.port || (url.protocol === "https:" ? "443" : "80"))) return false;
  const wanted = name.replace(/^\[(.*)\]$/, "$1").replace(/^\*/, "");
  if (isIP(host) !== 0) return host === wanted;
  return wanted.startsWith(".") ? host.endsWith(wanted) : host === wanted || host.endsWith(`.${wanted}`);
}

function isWithin(host: string, range: string, bits: number): boolean {
  const family = isIP(range);
  if (family === 0 || isIP(host) !== family || bits > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(range, bits, kind);
  return list.check(host, kind);
}
