import { type Rule, ruleUrl } from "../rule.ts";

export const jsonArgsRecommended: Rule<[instruction: string]> = {
  name: "JSONArgsRecommended",
  description:
    "In shell form a shell is the container's first process, and signals such as SIGTERM do not reach the program it started. The JSON form starts the program itself.",
  url: ruleUrl("json-args-recommended"),
  experimental: false,
  message: (instruction) =>
    `JSON arguments recommended for ${instruction} to prevent unintended behavior related to OS signals`,
};
