import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import type { CopyAction } from "../../solver/graph/op.ts";

const SYMBOLIC = /^(?:[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)(?:,[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+)*$/;

/**
 * Parses `--chmod`: octal up to 07777, or chmod(1)'s symbolic form.
 * @throws {BuildError} `dockerfile/copy`
 */
export function parseMode(text: string, span: Span): NonNullable<CopyAction["mode"]> {
  if (/^[0-7]{1,11}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    return { kind: "octal", bits: Number.parseInt(text, 8) };
  }
  if (!/^\d/.test(text) && SYMBOLIC.test(text)) return { kind: "symbolic", text };
  throw new BuildError(
    "dockerfile/copy",
    `Cannot use ${JSON.stringify(text)} as --chmod: it should be octal string and between 0 and 07777`,
    {
      span,
      hint: 'write octal digits as in "--chmod=755", or letters as in "--chmod=u=rwX,go=rX"',
    },
  );
}
