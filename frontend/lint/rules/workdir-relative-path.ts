import { goQuote } from "../../words/go-format.ts";
import { type Rule, ruleUrl } from "../rule.ts";

export const workdirRelativePath: Rule<[path: string]> = {
  name: "WorkdirRelativePath",
  description:
    "The first WORKDIR of a build should be absolute. A relative one depends on the working directory of the base image, which may change.",
  url: ruleUrl("workdir-relative-path"),
  experimental: false,
  message: (path) => `Relative workdir ${goQuote(path)} can have unexpected results if the base image changes`,
};
