import { type Rule, ruleUrl, suggestion } from "../rule.ts";

export const undefinedArgInFrom: Rule<[name: string, similar: string | undefined]> = {
  name: "UndefinedArgInFrom",
  description: "FROM can only use variables that an ARG above the first FROM declares.",
  url: ruleUrl("undefined-arg-in-from"),
  experimental: false,
  message: (name, similar) => `FROM argument '${name}' is not declared${suggestion(similar)}`,
};
