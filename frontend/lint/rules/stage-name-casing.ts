import { type Rule, ruleUrl } from "../rule.ts";

export const stageNameCasing: Rule<[name: string]> = {
  name: "StageNameCasing",
  description: "Stage names are matched without regard to case, so they are best written in one case: lower.",
  url: ruleUrl("stage-name-casing"),
  experimental: false,
  message: (name) => `Stage name '${name}' should be lowercase`,
};
