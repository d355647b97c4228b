import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { printableLine } from "../core/printable.ts";
import { isNotTls, tlsTrouble } from "./tls-trouble.ts";

/** An action and its registry, for messages: `pull "alpine:3.20"`. */
export interface Purpose {
  readonly doing: string;
  readonly registry: string;
  /** Name of the server that answers, where it is not the registry itself: `the mirror "mirror.example"`. */
  readonly server?: string;
}

/** A refusing answer. `body` is its beginning. */
export interface Refusal {
  readonly status: number;
  readonly body: string;
}

/** Makes the error for a refusing answer. */
export function refused(purpose: Purpose, { status, body }: Refusal): BuildError {
  const reason = reasonIn(body);
  const server = purpose.server ?? "the registry";
  const said = reason === undefined ? `${server} answered ${status}` : `${server} answered ${status}: ${reason}`;
  const error = (code: ConstructorParameters<typeof BuildError>[0], hint: string | undefined): BuildError =>
    new BuildError(code, `Cannot ${purpose.doing}: ${said}`, { hint });
  const logIn = `log in with "kiln login ${purpose.registry}", or check the entry for it in ~/.docker/config.json`;
  switch (status) {
    case 401:
      return error("registry/unauthorized", `${logIn}; a repository that does not exist may also look like this`);
    case 403:
      return error("registry/denied", `the account may not do this there: ask for access, or ${logIn}`);
    case 404:
      return error("registry/not-found", "check the name and the tag for typing mistakes");
    case 429:
      return error("registry/unreachable", `${server} limits how much one may ask for: wait, or ${logIn}`);
    default:
      return status >= 500
        ? error("registry/unreachable", `${server} is in trouble: try again later`)
        : error("registry/malformed", undefined);
  }
}

/** The server that a request without an answer was sent to. */
export interface Asked {
  /** `registry.example:5000` */
  readonly host: string;
  /** URL of the proxy on the way, without credentials. */
  readonly proxy?: string | undefined;
  /** True when the request was redirected to this host. */
  readonly isRedirected?: boolean;
}

/** Makes the error for a missing answer. It names the server that failed to answer. */
export function unreachable(purpose: Purpose, error: unknown, asked: Asked = { host: purpose.registry }): unknown {
  if (error instanceof BuildError) return error;
  const deepest = deepestCause(error);
  const isSelf = purpose.server?.includes(JSON.stringify(asked.host)) === true;
  const place = isSelf && purpose.server !== undefined ? purpose.server : JSON.stringify(asked.host);
  const { what, hint } = tlsTrouble(deepest, asked.host) ?? connectionTrouble(deepest, { ...asked, place });
  const way = asked.isRedirected === true ? `, where "${purpose.registry}" sends such requests` : "";
  return new BuildError("registry/unreachable", `Cannot ${purpose.doing}: ${what}${way}`, { hint, cause: error });
}

/** Tells whether a failure deserves another attempt: the server or the way there broke, and nothing was decided. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** Tells whether TLS met a server without TLS, as in an HTTPS request to a plain HTTP port. */
export function spokeTlsInVain(error: unknown): boolean {
  return isNotTls(deepestCause(error));
}

function deepestCause(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return deepestCause(error.errors[0]);
  return error instanceof Error && error.cause !== undefined ? deepestCause(error.cause) : error;
}

function connectionTrouble(
  error: unknown,
  asked: Asked & { readonly place: string },
): { readonly what: string; readonly hint: string } {
  const { proxy } = asked;
  // Every failure before the first byte lies between us and the proxy.
  const place = proxy === undefined ? asked.place : `the proxy "${proxy}"`;
  const hint =
    proxy === undefined
      ? "check the registry's name and the network; behind a proxy set HTTPS_PROXY"
      : "check HTTPS_PROXY and HTTP_PROXY; NO_PROXY lists hosts that are reached without";
  const trouble = (what: string): { readonly what: string; readonly hint: string } => ({ what, hint });
  const status = /Proxy response \((\d+)\)/.exec(messageOf(error))?.[1];
  if (status !== undefined) return trouble(`${place} answered ${status} when it was to connect to "${asked.host}"`);
  switch (errnoOf(error)) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return trouble(`the name ${place.startsWith('"') ? "" : "of "}${place} does not resolve`);
    case "ECONNREFUSED":
      return trouble(`nothing listens at ${place}`);
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return trouble(`there is no way to ${place}`);
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return trouble(`${place} closed the connection`);
    case "UND_ERR_CONNECT_TIMEOUT":
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
    case "ETIMEDOUT":
      return trouble(`${place} does not answer`);
    default:
      return trouble(`${messageOf(error)} (${place})`);
  }
}

/** Extracts the texts of the specification's error list, each in one line. */
function reasonIn(body: string): string | undefined {
  const json = parseJson(body);
  if (!isRecord(json)) return undefined;
  const errors: unknown = json["errors"];
  const records = Array.isArray(errors) ? errors.filter(isRecord) : [json];
  const texts = records.flatMap((record) => {
    const found = [record["message"], record["details"], record["code"]].find((value) => typeof value === "string");
    return found === undefined ? [] : [printableLine(found.replaceAll(/\p{Cc}+/gu, " ")).trim()];
  });
  return texts.length === 0 ? undefined : texts.join("; ").slice(0, 300);
}
