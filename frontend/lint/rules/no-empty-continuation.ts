import { type Rule, ruleUrl } from "../rule.ts";

export const noEmptyContinuation: Rule<[]> = {
  name: "NoEmptyContinuation",
  description:
    "A blank line inside a continued instruction is skipped today and will be an error in a later version of the language.",
  url: ruleUrl("no-empty-continuation"),
  experimental: false,
  message: () => `Empty continuation line`,
};
