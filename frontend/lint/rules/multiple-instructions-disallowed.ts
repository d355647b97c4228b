import { type Rule, ruleUrl } from "../rule.ts";

export const multipleInstructionsDisallowed: Rule<[instruction: string]> = {
  name: "MultipleInstructionsDisallowed",
  description: "Of several CMD, ENTRYPOINT or HEALTHCHECK instructions in one stage only the last counts.",
  url: ruleUrl("multiple-instructions-disallowed"),
  experimental: false,
  message: (instruction) =>
    `Multiple ${instruction} instructions should not be used in the same stage because only the last one will be used`,
};
