/** A build check: its name and its texts. Code that detects a violation calls `message`. */
export interface Rule<Values extends readonly unknown[] = readonly never[]> {
  /** `StageNameCasing`, as in `# check=skip=StageNameCasing`. */
  readonly name: string;
  /** Explanation of the problem in general, in one or two sentences. */
  readonly description: string;
  /** `undefined` for a rule without a page. */
  readonly url: string | undefined;
  /** True for a rule that is off by default. */
  readonly experimental: boolean;
  readonly message: (...values: Values) => string;
}

/** Returns the address of a rule's page in Docker's documentation; the rules are Docker's. */
export function ruleUrl(slug: string): string {
  return `https://docs.docker.com/go/dockerfile/rule/${slug}/`;
}

/** Writes ` (did you mean X?)`, or nothing. */
export function suggestion(text: string | undefined): string {
  return text === undefined ? "" : ` (did you mean ${text}?)`;
}
