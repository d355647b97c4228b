/** A build check: what it is called and what it says. The places that can see a violation call its `message`. */
export interface Rule<Values extends readonly unknown[] = readonly never[]> {
  /** `StageNameCasing`, as in `# check=skip=StageNameCasing`. */
  readonly name: string;
  /** What is wrong in general, in one or two sentences. */
  readonly description: string;
  /** `undefined` for a rule without a page. */
  readonly url: string | undefined;
  /** Off unless asked for. */
  readonly experimental: boolean;
  readonly message: (...values: Values) => string;
}

/** The page of a rule in Docker's documentation, whose rules these are. */
export function ruleUrl(slug: string): string {
  return `https://docs.docker.com/go/dockerfile/rule/${slug}/`;
}

/** ` (did you mean X?)`, or nothing. */
export function suggestion(text: string | undefined): string {
  return text === undefined ? "" : ` (did you mean ${text}?)`;
}
