import { type Rule, ruleUrl } from "../rule.ts";

export const exposeProtoCasing: Rule<[port: string]> = {
  name: "ExposeProtoCasing",
  description: "Protocols in EXPOSE should be written in lower case.",
  url: ruleUrl("expose-proto-casing"),
  experimental: false,
  message: (port) => `Defined protocol '${port}' in EXPOSE instruction should be lowercase`,
};
