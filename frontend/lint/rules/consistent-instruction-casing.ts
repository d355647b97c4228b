import { type Rule, ruleUrl } from "../rule.ts";

export const consistentInstructionCasing: Rule<[keyword: string, casing: "uppercase" | "lowercase"]> = {
  name: "ConsistentInstructionCasing",
  description: "Instructions of one file should all be written in the same case, all upper or all lower.",
  url: ruleUrl("consistent-instruction-casing"),
  experimental: false,
  message: (keyword, casing) => `Command '${keyword}' should match the case of the command majority (${casing})`,
};
