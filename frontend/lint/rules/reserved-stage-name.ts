import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const reservedStageName: Rule<[name: string]> = {
  name: "ReservedStageName",
  description: "The names scratch and context mean something of their own and cannot be used for a stage.",
  url: ruleUrl("reserved-stage-name"),
  experimental: false,
  message: (name) => `Stage name should not use the same name as reserved stage ${goQuote(name)}`,
};
