import type { Span } from "./span.ts";

/**
 * `<room>/<what>`: stable names that scripts may match and that `docs/errors/` explains, one page each.
 * A code is added here when it is first thrown, so the compiler knows them all.
 */
export type ErrorCode = (typeof ERROR_CODES)[number];

export const ERROR_CODES = [
  "archive/malformed",
  "archive/unsafe-path",
  "archive/unsupported",
  "build/cancelled",
  "build/policy",
  "build/unexpected-miss",
  "cache/export-failed",
  "cache/import-failed",
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
  "native/missing",
  "pattern/malformed",
  "platform/malformed",
  "reference/malformed",
  "registry/denied",
  "registry/configuration",
  "registry/malformed",
  "registry/not-found",
  "registry/unauthorized",
  "registry/unreachable",
  "runtime/entitlement",
  "runtime/failed",
  "runtime/missing",
  "runtime/unsupported",
  "secret/not-found",
  "secret/unreadable",
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
] as const;

export interface BuildErrorDetails {
  /** The text that is to blame, printed with a code frame. */
  readonly span?: Span | undefined;
  /** Something the reader can do: a flag, a command, a line of Dockerfile. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** More lines to show below the message, as the last lines of a failed command's log. */
  readonly detail?: string | undefined;
  /** Further errors found in the same pass, as the other syntax errors of a Dockerfile. Printed after this one. */
  readonly more?: readonly BuildError[] | undefined;
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
    this.hint = details.hint;
    this.detail = details.detail;
    this.more = details.more ?? [];
  }
}

/** For the `default:` arm of a switch: it stops compiling on the day a new kind is added. */
export function unreachable(value: never): never {
  throw new Error(`Unhandled case: ${JSON.stringify(value)}`);
}

/** The errno name of a Node system error, as in `if (errnoOf(error) === "ENOENT")`. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** What went wrong in one line, for putting behind a colon. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
