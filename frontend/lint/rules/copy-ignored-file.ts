import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const copyIgnoredFile: Rule<[instruction: "Copy" | "Add", path: string]> = {
  name: "CopyIgnoredFile",
  description: "COPY and ADD cannot see files that .dockerignore excludes from the context.",
  url: ruleUrl("copy-ignored-file"),
  experimental: false,
  message: (instruction, path) =>
    `Attempting to ${instruction} file ${goQuote(path)} that is excluded by .dockerignore`,
};
