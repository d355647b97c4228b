import { percentDecoded } from "../core/percent.ts";
import { BuildError } from "../core/errors.ts";

/** Address of a cluster: `grpc://host:8980/instance`. */
export interface ClusterPlace {
  /** Host and port, as a dialler takes them. */
  readonly address: string;
  readonly isSecure: boolean;
  /** The name of one of the server's instances; empty for its only one. */
  readonly instance: string;
  /** The URL in its shortest form, without credentials: equal places have equal texts. */
  readonly url: string;
}

const DEFAULT_PORTS = { "grpc:": "8980", "grpcs:": "443" } as const;

/**
 * Reads the URL of a cluster.
 * @param what the name of the flag or variable that gives it
 * @throws {BuildError} `cli/usage`
 */
export function parsePlace(text: string, what: string): ClusterPlace {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocol = url?.protocol;
  if (url === undefined || (protocol !== "grpc:" && protocol !== "grpcs:") || url.hostname === "") {
    throw refused(what, "it is no URL of a cluster", "it has the form grpc://host:port/instance, or grpcs://");
  }
  if (url.username !== "" || url.password !== "") {
    throw refused(what, "it holds credentials", 'give them as a header: --remote-header "authorization: Bearer TOKEN"');
  }
  if (url.search !== "" || url.hash !== "") throw refused(what, 'there is nothing to ask for behind "?" or "#"');
  const address = `${url.hostname}:${url.port === "" ? DEFAULT_PORTS[protocol] : url.port}`;
  const instance = percentDecoded(url.pathname).replaceAll(/^\/+|\/+$/g, "");
  const shown = `${protocol}//${address}${instance === "" ? "" : `/${instance}`}`;
  return { address, isSecure: protocol === "grpcs:", instance, url: shown };
}

function refused(what: string, why: string, hint?: string): BuildError {
  return new BuildError("cli/usage", `Cannot use the value of ${what}: ${why}`, { hint });
}
