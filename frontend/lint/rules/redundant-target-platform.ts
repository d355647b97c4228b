import { type Rule, ruleUrl } from "../rule.ts";

export const redundantTargetPlatform: Rule<[variable: string]> = {
  name: "RedundantTargetPlatform",
  description: "FROM uses the target platform by default, so naming it changes nothing.",
  url: ruleUrl("redundant-target-platform"),
  experimental: false,
  message: (variable) =>
    `Setting platform to predefined ${variable} in FROM is redundant as this is the default behavior`,
};
