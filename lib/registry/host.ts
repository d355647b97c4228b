/** Settings for reaching one registry. */
export interface HostSettings {
  /** Hosts to ask first when pulling, `host[:port][/prefix]`, in order. */
  readonly mirrors?: readonly string[];
  /** Plain HTTP only. */
  readonly plainHttp?: boolean;
  /** True to accept unverified certificates and plain HTTP. */
  readonly insecure?: boolean;
  /** PEM certificates trusted besides those of the system. */
  readonly ca?: readonly string[];
  /** PEM certificate and key that identify the client. */
  readonly client?: { readonly cert: string; readonly key: string };
}

/** The target of requests for one registry. */
export interface Host {
  /** Name as in references; the key of credentials. */
  readonly name: string;
  /** `registry-1.docker.io`, `localhost:5000`. */
  readonly authority: string;
  /** Prefix of `/v2/` for mirrors that need one: empty or `/prefix`. */
  readonly prefix: string;
  /** Schemes in the order of attempts. */
  readonly schemes: readonly ("https" | "http")[];
  readonly settings: HostSettings;
  /** `short` where another place can be asked instead: the wait for this one is then short, with fewer attempts. */
  readonly patience: "short" | "long";
}

/**
 * Makes the host of a registry or mirror.
 * @param name a registry as in references, or a mirror: `host[:port][/prefix]`
 */
export function hostOf(name: string, settings: HostSettings, patience: Host["patience"] = "long"): Host {
  const slash = name.indexOf("/");
  const authority = slash === -1 ? name : name.slice(0, slash);
  const prefix = slash === -1 ? "" : name.slice(slash).replace(/\/+$/, "");
  return {
    name: authority,
    // The familiar name of Docker Hub is that of a web site; the registry is elsewhere.
    authority: authority === "docker.io" || authority === "index.docker.io" ? "registry-1.docker.io" : authority,
    prefix,
    schemes: schemesOf(authority, settings),
    settings,
    patience,
  };
}

/**
 * Lists the schemes to try, like docker: HTTPS, and also plain HTTP for registries on this machine, where eavesdropping
 * is impossible.
 */
function schemesOf(authority: string, settings: HostSettings): readonly ("https" | "http")[] {
  if (settings.plainHttp === true) return ["http"];
  return settings.insecure === true || isLoopback(authority) ? ["https", "http"] : ["https"];
}

/** Tells whether a URL leads to the host. URLs have names in lower case and omit the scheme's default port. */
export function isAt(url: URL, host: Pick<Host, "authority">): boolean {
  const own = `${url.protocol}//${host.authority}`;
  return URL.canParse(own) && new URL(own).host === url.host;
}

export function isLoopback(authority: string): boolean {
  const host = authority.replace(/:\d+$/, "").toLowerCase();
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
