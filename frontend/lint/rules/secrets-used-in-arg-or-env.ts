import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const secretsUsedInArgOrEnv: Rule<[instruction: string, name: string]> = {
  name: "SecretsUsedInArgOrEnv",
  description:
    "Values of ARG and ENV can be read from the image or its history. Use RUN --mount=type=secret for what must not be seen.",
  url: ruleUrl("secrets-used-in-arg-or-env"),
  experimental: false,
  message: (instruction, name) =>
    `Do not use ARG or ENV instructions for sensitive data (${instruction} ${goQuote(name)})`,
};
