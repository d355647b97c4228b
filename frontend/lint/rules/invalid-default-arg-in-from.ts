import { type Rule, ruleUrl } from "../rule.ts";

export const invalidDefaultArgInFrom: Rule<[base: string]> = {
  name: "InvalidDefaultArgInFrom",
  description:
    "A file should build without --build-arg: an ARG used in FROM needs a default that makes a valid image name.",
  url: ruleUrl("invalid-default-arg-in-from"),
  experimental: false,
  message: (base) => `Default value for ARG ${base} results in empty or invalid base image name`,
};
