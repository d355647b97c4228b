import { type Rule, ruleUrl } from "../rule.ts";

export const legacyKeyValueFormat: Rule<[instruction: string]> = {
  name: "LegacyKeyValueFormat",
  description:
    "The form with white space between name and value is outdated and takes one pair only. Write name=value.",
  url: ruleUrl("legacy-key-value-format"),
  experimental: false,
  message: (instruction) =>
    `"${instruction} key=value" should be used instead of legacy "${instruction} key value" format`,
};
