import { BuildError, errnoOf, messageOf } from "../core/errors.ts";
import { isRecord, parseJson } from "../core/json.ts";
import { printableLine } from "../core/printable.ts";

/** What was being done and to whom, for messages: `pull "alpine:3.20"`, and the registry asked. */
export interface Purpose {
  readonly doing: string;
  readonly registry: string;
}

/** An answer that says no. `body` is its beginning. */
export interface Refusal {
  readonly status: number;
  readonly body: string;
}

/** The error a user sees for an answer that says no. */
export function refused(purpose: Purpose, { status, body }: Refusal): BuildError {
  const reason = reasonIn(body);
  const said = reason === undefined ? `the registry answered ${status}` : `the registry answered ${status}: ${reason}`;
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
      return error("registry/unreachable", `the registry limits how much one may ask for: wait, or ${logIn}`);
    default:
      return status >= 500
        ? error("registry/unreachable", "the registry is in trouble: try again later")
        : error("registry/malformed", undefined);
  }
}

/** The error a user sees when there was no answer. */
export function unreachable(purpose: Purpose, error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const deepest = deepestCause(error);
  const errno = errnoOf(deepest);
  return new BuildError("registry/unreachable", `Cannot ${purpose.doing}: ${whatHappened(purpose.registry, deepest)}`, {
    hint: hintFor(errno, purpose.registry),
    cause: error,
  });
}

/** Failures worth another attempt: nothing was decided, the way there or the server just broke. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status === 500 || status === 502 || status === 503 || status === 504;
}

/** TLS spoken to something that does not: what an HTTPS request to a plain HTTP port ends in. */
export function isNotTls(error: unknown): boolean {
  const code = errnoOf(deepestCause(error));
  return (
    code === "ERR_SSL_WRONG_VERSION_NUMBER" ||
    code === "ERR_SSL_PACKET_LENGTH_TOO_LONG" ||
    code === "EPROTO" ||
    code === "ERR_SSL_HTTP_REQUEST"
  );
}

/** Certificates do not become good by asking again. */
function isCertificateProblem(error: unknown): boolean {
  const code = errnoOf(deepestCause(error)) ?? "";
  return /^(?:CERT_|ERR_TLS_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/.test(code);
}

function deepestCause(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return deepestCause(error.errors[0]);
  return error instanceof Error && error.cause !== undefined ? deepestCause(error.cause) : error;
}

function whatHappened(registry: string, error: unknown): string {
  const errno = errnoOf(error);
  switch (errno) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name "${registry}" does not resolve`;
    case "ECONNREFUSED":
      return `nothing listens at "${registry}"`;
    case "ECONNRESET":
    case "EPIPE":
    case "UND_ERR_SOCKET":
      return `"${registry}" closed the connection`;
    case "UND_ERR_CONNECT_TIMEOUT":
    case "UND_ERR_HEADERS_TIMEOUT":
    case "UND_ERR_BODY_TIMEOUT":
    case "ETIMEDOUT":
      return `"${registry}" does not answer`;
    default:
      return `${messageOf(error)} ("${registry}")`;
  }
}

function hintFor(errno: string | undefined, registry: string): string {
  if (isCertificateProblem({ code: errno }) || /CERT|SELF_SIGNED|UNABLE_TO/.test(errno ?? "")) {
    return `the certificate of "${registry}" is not trusted: add its authority to the system's, or allow the registry as insecure`;
  }
  return "check the registry's name and the network; behind a proxy set HTTPS_PROXY";
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
