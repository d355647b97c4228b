import { goQuote } from "../../words/go-format.ts";
import { type Rule } from "../rule.ts";

export const invalidBaseImagePlatform: Rule<[image: string, expected: string, actual: string]> = {
  name: "InvalidBaseImagePlatform",
  description: "The base image is made for another platform than the one that is built for.",
  url: undefined,
  experimental: false,
  message: (image, expected, actual) =>
    `Base image ${image} was pulled with platform ${goQuote(actual)}, expected ${goQuote(expected)} for current build`,
};
