import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { printableLine } from "../core/printable.ts";
import { isNotTls, tlsTrouble } from "./tls-trouble.ts";

/** What was being done and to whom, for messages: `pull "alpine:3.20"`, and the registry asked. */
export interface Purpose {
  readonly doing: string;
  readonly registry: string;
  /** Name of the server that answers, where that is not the registry itself: `the mirror "mirror.example"`. */
  readonly who?: string;
}

/** An answer that says no. `body` is its beginning. */
export interface Refusal {
  readonly status: number;
  readonly body: string;
}

/** The error a user sees for an answer that says no. */
export function refused(purpose: Purpose, { status, body }: Refusal): BuildError {
  const reason = reasonIn(body);
  const who = purpose.who ?? "the registry";
  const said = reason === undefined ? `${who} answered ${status}` : `${who} answered ${status}: ${reason}`;
  const error = (code: ConstructorParameters<typeof BuildError>[0], hint: string | undefined): BuildError =>
    new BuildError(code, `Cannot ${purpose.doing}: ${said}`, { hint });
  const logIn = `log in with "docker login ${purpose.registry}", or check the entry for it in ~/.docker/config.json`;
  switch (status) {
    case 401:
      return error("registry/unauthorized", `${logIn}; a repository that does not exist may also look like this`);
    case 403:
      return error("registry/denied", `the account may not do this there: ask for access, or ${logIn}`);
    case 404:
      return error("registry/not-found", "check the name and the tag for typing mistakes");
    case 429:
      return error("registry/unreachable", `${who} limits how much one may ask for: wait, or ${logIn}`);
    default:
      return status >= 500
        ? error("registry/unreachable", `${who} is in trouble: try again later`)
        : error("registry/malformed", undefined);
  }
}

/** Where a request went that got no answer. */
export interface Asked {
  /** `registry.example:5000` */
  readonly host: string;
  /** The URL of the proxy that was to pass it on, without credentials. */
  readonly proxy?: string | undefined;
  /** Whether the host is another one than that which the request was for: it was sent there. */
  readonly isRedirected?: boolean;
}

/** The error a user sees when there was no answer. It names whoever did not give it. */
export function unreachable(purpose: Purpose, error: unknown, asked: Asked = { host: purpose.registry }): unknown {
  if (error instanceof BuildError) return error;
  const deepest = deepestCause(error);
  const isSelf = purpose.who?.includes(JSON.stringify(asked.host)) === true;
  const place = isSelf && purpose.who !== undefined ? purpose.who : JSON.stringify(asked.host);
  const { what, hint } = tlsTrouble(deepest, asked.host) ?? connectionTrouble(deepest, { ...asked, place });
  const way = asked.isRedirected === true ? `, where "${purpose.registry}" sends such requests` : "";
  return new BuildError("registry/unreachable", `Cannot ${purpose.doing}: ${what}${way}`, { hint, cause: error });
}

/** Failures worth another attempt: nothing was decided, the way there or the server just broke. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** Whether TLS was spoken to something that does not: what an HTTPS request to a plain HTTP port ends in. */
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
  // Whatever happens on the way to the first byte happens between us and the proxy.
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

/** The texts of the specification's error list, each in one line. */
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
