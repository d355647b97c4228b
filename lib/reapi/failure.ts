import { BuildError } from "../core/errors.ts";

/** Status codes of gRPC, by name. */
export const CODES = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

const NAMES = new Map<number, string>(Object.entries(CODES).map(([name, code]) => [code, name]));

/** A call's answer that is not a result. It becomes a {@link BuildError} where nothing more can be tried. */
export class CallError extends Error {
  override readonly name = "CallError";
  readonly code: number;

  constructor(code: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Tells whether the same call may succeed a little later. */
export function isPassing({ code }: CallError): boolean {
  return PASSING.has(code);
}

const PASSING: ReadonlySet<number> = new Set([
  CODES.unavailable,
  CODES.deadlineExceeded,
  CODES.resourceExhausted,
  CODES.aborted,
  // What proxies make of a connection that broke.
  CODES.internal,
  CODES.unknown,
  CODES.cancelled,
]);

/** Words a failed call for people. `doing`: what it was for, as in "read a blob". */
export function clusterFailure(error: CallError, doing: string, url: string): BuildError {
  const reason = error.message || NAMES.get(error.code) || `code ${error.code}`;
  const message = `Cannot ${doing} at ${JSON.stringify(url)}: ${reason}`;
  switch (error.code) {
    case CODES.unauthenticated:
    case CODES.permissionDenied:
      return new BuildError("remote/denied", message, {
        hint: "give the cluster's token with --remote-header, or a certificate with --remote-cert and --remote-key",
        cause: error,
      });
    case CODES.unavailable:
    case CODES.deadlineExceeded:
      return new BuildError("remote/unreachable", message, {
        hint: "--remote-fallback=local builds here when the cluster is away",
        cause: error,
      });
    default:
      return new BuildError("remote/failed", message, { cause: error });
  }
}
