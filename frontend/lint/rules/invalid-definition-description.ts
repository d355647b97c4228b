import { type Rule, ruleUrl } from "../rule.ts";

export const invalidDefinitionDescription: Rule<[kind: string, name: string]> = {
  name: "InvalidDefinitionDescription",
  description:
    "A comment directly above FROM or ARG describes the stage or argument and should begin with its name. Leave an empty line between if it is no description.",
  url: ruleUrl("invalid-definition-description"),
  experimental: true,
  message: (kind, name) => `Comment for ${kind} should follow the format: \`# ${name} <description>\``,
};
