/** The instructions of the language. */
export type Keyword = (typeof NAMES)[number];

const NAMES = [
  ...(["ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"] as const),
  ...(["LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"] as const),
] as const;

export const KEYWORDS: ReadonlyMap<string, Keyword> = new Map(NAMES.map((name) => [name, name]));

/** Finds the instruction that a word names, in any case. */
export function keywordOf(text: string): Keyword | undefined {
  return KEYWORDS.get(text) ?? KEYWORDS.get(text.toUpperCase());
}
