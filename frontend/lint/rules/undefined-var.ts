import { type Rule, ruleUrl, suggestion } from "../rule.ts";

export const undefinedVar: Rule<[name: string, similar: string | undefined]> = {
  name: "UndefinedVar",
  description: "A variable that nothing above declares or sets is empty, which is seldom what was meant.",
  url: ruleUrl("undefined-var"),
  experimental: false,
  message: (name, similar) =>
    `Usage of undefined variable '$${name}'${suggestion(similar === undefined ? undefined : `$${similar}`)}`,
};
