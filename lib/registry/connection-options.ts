import type { ProxySettings } from "./proxy.ts";

/** Settings for reaching servers. Apart from the connections, whose types are the HTTP client's: programs see these settings. */
export interface ConnectionOptions {
  /** PEM certificates trusted for every host, besides those of Node and the system. */
  readonly ca?: readonly string[];
  readonly proxy?: ProxySettings;
}
