import { type Rule, ruleUrl } from "../rule.ts";

export const maintainerDeprecated: Rule<[]> = {
  name: "MaintainerDeprecated",
  description:
    "MAINTAINER is outdated. A label such as org.opencontainers.image.authors says the same and can be read by other tools.",
  url: ruleUrl("maintainer-deprecated"),
  experimental: false,
  message: () => `Maintainer instruction is deprecated in favor of using label`,
};
