import type { Span } from "./span.ts";
import { hintFor } from "./system-hints.ts";

/**
 * `<room>/<what>`: stable names that scripts may match. `docs/errors/` has one page for each. A code is added here when
 * it is first thrown, so the compiler knows them all.
 */
export type ErrorCode = (typeof ERROR_CODES)[number];

export const ERROR_CODES = [
  "archive/malformed",
  "archive/unsafe-path",
  "archive/unsupported",
  "bake/definition",
  "bake/expression",
  "bake/not-found",
  "bake/rights",
  "bake/syntax",
  "build/cancelled",
  "build/not-reproducible",
  "build/policy",
  "build/unexpected-miss",
  "cache/export-failed",
  "cache/import-failed",
  "cli/settings",
  "cli/template",
  "cli/usage",
  "context/not-found",
  "context/unreadable",
  "context/unsupported",
  "digest/malformed",
  "digest/mismatch",
  "dockerfile/arg",
  "dockerfile/checks-failed",
  "dockerfile/circular-stage",
  "dockerfile/copy",
  "dockerfile/empty",
  "dockerfile/encoding",
  "dockerfile/expansion",
  "dockerfile/from",
  "dockerfile/frontend",
  "dockerfile/heredoc",
  "dockerfile/ignore-file",
  "dockerfile/instruction",
  "dockerfile/mount",
  "dockerfile/not-found",
  "dockerfile/other-format",
  "dockerfile/syntax",
  "dockerfile/unknown-flag",
  "dockerfile/unknown-instruction",
  "dockerfile/unknown-stage",
  "export/failed",
  "export/unsupported",
  "image/config",
  "image/in-use",
  "image/not-found",
  "image/platform",
  "image/reserved",
  "lock/differs",
  "lock/unusable",
  "native/missing",
  "pattern/malformed",
  "platform/malformed",
  "reference/malformed",
  "remote/denied",
  "remote/failed",
  "remote/unreachable",
  "remote/unsupported",
  "registry/denied",
  "registry/configuration",
  "registry/malformed",
  "registry/not-found",
  "registry/unauthorized",
  "registry/unreachable",
  "runtime/entitlement",
  "runtime/failed",
  "runtime/missing",
  "runtime/not-allowed",
  "runtime/unsupported",
  "runtime/user-not-mapped",
  "secret/not-found",
  "secret/unreadable",
  "serve/request",
  "serve/socket",
  "serve/unsupported",
  "signature/key",
  "signature/missing",
  "snapshot/failed",
  "solver/copy-failed",
  "solver/exec-failed",
  "solver/not-found",
  "source/git",
  "source/http",
  "store/corrupt",
  "store/full",
  "store/locked",
  "store/unusable",
  "store/version",
  "system/failed",
  "watch/limit",
] as const;

export interface BuildErrorDetails {
  /** The text that caused the error, printed with a code frame. */
  readonly span?: Span | undefined;
  /** An action for the reader: a flag, a command, a line of Dockerfile. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** More lines to show below the message, such as the last lines of a failed command's log. */
  readonly detail?: string | undefined;
  /** Further errors of the same pass, such as the other syntax errors of a Dockerfile. Printed after this one. */
  readonly more?: readonly BuildError[] | undefined;
}

/** Details that a copy of an error has instead. */
export interface ErrorChanges extends Omit<BuildErrorDetails, "cause"> {
  readonly code?: ErrorCode;
  readonly message?: string;
}

/** The one error a user sees. Anything else that reaches the CLI is a bug in this program and is printed with its stack. */
export class BuildError extends Error {
  override readonly name = "BuildError";
  readonly code: ErrorCode;
  readonly span: Span | undefined;
  readonly hint: string | undefined;
  readonly detail: string | undefined;
  readonly more: readonly BuildError[];

  constructor(code: ErrorCode, message: string, details: BuildErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.span = details.span;
    this.hint = hintFor(details.cause, details.hint);
    this.detail = details.detail;
    this.more = details.more ?? [];
  }

  /** The same error at a place in a file. */
  at(span: Span | undefined): BuildError {
    return span === undefined || span === this.span ? this : this.with({ span });
  }

  /** The same error with another hint. */
  withHint(hint: string | undefined): BuildError {
    return hint === undefined ? this : this.with({ hint });
  }

  /** The same error with further ones behind it. */
  withMore(more: readonly BuildError[]): BuildError {
    return more.length === 0 ? this : this.with({ more: [...this.more, ...more] });
  }

  /** A copy with some details changed and all others kept. This one is its cause: it may be of a class that knows more. */
  with(changes: ErrorChanges): BuildError {
    const { code = this.code, message = this.message, ...details } = changes;
    const { span, hint, detail, more } = this;
    return new BuildError(code, message, { span, hint, detail, more, ...details, cause: this });
  }
}

/** Closes the `default:` arm of a switch: the code stops compiling on the day a new kind is added. */
export function unreachable(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}

/** Returns the errno name of a Node system error, as in `if (errnoOf(error) === "ENOENT")`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || error instanceof BuildError) return undefined;
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Returns an error's message in one line, to put after a colon. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The hint of an error of ours, for another error or notice that tells of it. */
export function hintOf(error: unknown): string | undefined {
  return error instanceof BuildError ? error.hint : undefined;
}

/** Several hints as one; `undefined` where there is none. */
export function joinHints(...hints: readonly (string | undefined)[]): string | undefined {
  const given = hints.filter((hint) => hint !== undefined && hint !== "");
  return given.length === 0 ? undefined : given.join("; ");
}
