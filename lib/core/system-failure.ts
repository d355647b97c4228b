import { BuildError, messageOf } from "./errors.ts";
import { systemHint } from "./system-hints.ts";

/** Limit on the depth of wrapped errors. */
const DEEPEST = 5;

/**
 * Turns an error of the kernel, a network or a device into a `system/failed`. Code that tests an errno must do so
 * before this. Any other error, a broken assumption of ours, is returned unchanged. `doing` completes "Cannot ...", as
 * in `write the archive`.
 */
export function systemFailure(doing: string, error: unknown): unknown {
  if (error instanceof BuildError) return error;
  const before = suppressedIn(error);
  if (before !== undefined) return systemFailure(doing, before);
  const root = systemError(error, 0);
  if (root === undefined) return error;
  return new BuildError("system/failed", `Cannot ${doing}: ${messageOf(root.error)}`, {
    hint: systemHint(root.code),
    cause: error,
  });
}

/**
 * Returns the error that was on its way when the disposal of something failed as well. The first is the reason, and
 * often the second's too.
 */
function suppressedIn(error: unknown): unknown {
  return error instanceof Error && error.name === "SuppressedError" && "suppressed" in error
    ? error.suppressed
    : undefined;
}

interface SystemError {
  readonly error: Error;
  readonly code: string;
}

/** Finds the system error: the error itself, its cause, or the first of several attempts. */
function systemError(error: unknown, depth: number): SystemError | undefined {
  if (!(error instanceof Error) || depth > DEEPEST) return undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // A name with several addresses gives one error for each; the aggregate has no message.
  if (error instanceof AggregateError && error.message === "" && error.errors.length > 0) {
    return systemError(error.errors[0], depth + 1);
  }
  if (isSystemCode(code, error)) return { error, code };
  // A library's "fetch failed" tells less than its cause. A TypeError without a cause is a mistake of ours.
  return error.cause === undefined ? undefined : systemError(error.cause, depth + 1);
}

function isSystemCode(code: string, error: Error): boolean {
  // Accept errno names, but not Node's own ERR_..., which mean a wrong call.
  if (/^E(?!RR_)[A-Z0-9]+$/.test(code)) return true;
  if (/^(?:UND_ERR_|ERR_TLS_|ERR_SSL_|CERT_|HPE_|Z_)/.test(code)) return true;
  // A name with a NUL came from outside: no name of this program has one.
  return (
    (code === "ERR_INVALID_ARG_VALUE" && error.message.includes("null bytes")) || code === "ERR_STREAM_PREMATURE_CLOSE"
  );
}
