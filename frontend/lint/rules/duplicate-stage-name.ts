import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const duplicateStageName: Rule<[name: string]> = {
  name: "DuplicateStageName",
  description: "Two stages with one name hide each other: the name refers to the later one.",
  url: ruleUrl("duplicate-stage-name"),
  experimental: false,
  message: (name) => `Duplicate stage name ${goQuote(name)}, stage names should be unique`,
};
