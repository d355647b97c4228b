import type { Span } from "../../lib/core/span.ts";

/** A finding of a build check. */
export interface Warning {
  /** `StageNameCasing`. */
  readonly rule: string;
  /** The problem, with the names involved, in one line. */
  readonly message: string;
  /** The rule's general explanation, the same for all files. */
  readonly description: string;
  /** Page that explains the rule; `undefined` for a rule without one. */
  readonly url: string | undefined;
  readonly span: Span;
}
