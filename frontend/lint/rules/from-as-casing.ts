import { type Rule, ruleUrl } from "../rule.ts";

export const fromAsCasing: Rule<[as: string, from: string]> = {
  name: "FromAsCasing",
  description: "The AS of a FROM line should be written in the same case as its FROM.",
  url: ruleUrl("from-as-casing"),
  experimental: false,
  message: (as, from) => `'${as}' and '${from}' keywords' casing do not match`,
};
