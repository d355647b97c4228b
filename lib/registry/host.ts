/** How to reach one registry. */
export interface HostSettings {
  /** Hosts asked first when pulling, `host[:port][/prefix]`, in order. */
  readonly mirrors?: readonly string[];
  /** Plain HTTP only. */
  readonly plainHttp?: boolean;
  /** Unverified certificates and plain HTTP are accepted. */
  readonly insecure?: boolean;
  /** PEM certificates trusted besides those of the system. */
  readonly ca?: readonly string[];
  /** PEM certificate and key that identify the client. */
  readonly client?: { readonly cert: string; readonly key: string };
}

/** Where requests for one registry go. */
export interface Host {
  /** As in references: what credentials are looked up by. */
  readonly name: string;
  /** `registry-1.docker.io`, `localhost:5000`. */
  readonly authority: string;
  /** Before `/v2/`, as some mirrors want it; empty or `/prefix`. */
  readonly prefix: string;
  /** In the order they are tried. */
  readonly schemes: readonly ("https" | "http")[];
  readonly settings: HostSettings;
  /** `short` where another place can be asked instead: nobody then waits long for this one, nor asks it again and again. */
  readonly patience: "short" | "long";
}

/** @param name a registry as in references, or a mirror: `host[:port][/prefix]`. */
export function hostOf(name: string, settings: HostSettings, patience: Host["patience"] = "long"): Host {
  const slash = name.indexOf("/");
  const authority = slash === -1 ? name : name.slice(0, slash);
  const prefix = slash === -1 ? "" : name.slice(slash).replace(/\/+$/, "");
  return {
    name: authority,
    // The name people use for Docker Hub is a web site's; the registry is elsewhere.
    authority: authority === "docker.io" || authority === "index.docker.io" ? "registry-1.docker.io" : authority,
    prefix,
    schemes: schemesOf(authority, settings),
    settings,
    patience,
  };
}

/** Like docker: HTTPS, and plain HTTP besides for registries on this machine, where nobody can listen in. */
function schemesOf(authority: string, settings: HostSettings): readonly ("https" | "http")[] {
  if (settings.plainHttp === true) return ["http"];
  return settings.insecure === true || isLoopback(authority) ? ["https", "http"] : ["https"];
}

/** Whether a URL leads to the host. In URLs names are in lower case, and the scheme's own port is left out. */
export function isAt(url: URL, host: Pick<Host, "authority">): boolean {
  const own = `${url.protocol}//${host.authority}`;
  return URL.canParse(own) && new URL(own).host === url.host;
}

export function isLoopback(authority: string): boolean {
  const host = authority.replace(/:\d+$/, "").toLowerCase();
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
