import type { Span } from "../../lib/core/span.ts";

/** A finding of a build check. */
export interface Warning {
  /** `StageNameCasing`. */
  readonly rule: string;
  /** What is wrong, with the names involved; one line. */
  readonly message: string;
  /** What the rule is about, whatever the file says. */
  readonly description: string;
  /** Where the rule is explained; `undefined` for a rule without a page. */
  readonly url: string | undefined;
  readonly span: Span;
}
