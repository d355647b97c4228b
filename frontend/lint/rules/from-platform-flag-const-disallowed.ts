import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const fromPlatformFlagConstDisallowed: Rule<[platform: string]> = {
  name: "FromPlatformFlagConstDisallowed",
  description:
    "A platform written out in FROM fixes the stage to it and prevents builds for others. Use BUILDPLATFORM or TARGETPLATFORM, or a stage per platform.",
  url: ruleUrl("from-platform-flag-const-disallowed"),
  experimental: false,
  message: (platform) => `FROM --platform flag should not use constant value ${goQuote(platform)}`,
};
