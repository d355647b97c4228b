import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";

/**
 * Settings of the checks: which ones run and whether findings are errors. They come from `# check=...` or the build arg
 * BUILDKIT_DOCKERFILE_CHECK.
 */
export interface CheckConfig {
  /** Rule names; they are case-sensitive. */
  readonly skip: "all" | ReadonlySet<string>;
  readonly experimental: "all" | ReadonlySet<string>;
  /** True when a finding fails the build. */
  readonly failOnWarning: boolean;
}

export const DEFAULT_CHECKS: CheckConfig = { skip: new Set(), experimental: new Set(), failOnWarning: false };

/**
 * Parses `skip=A,B|all;error=true;experimental=A|all`. An option between two `;` must not be empty.
 * @throws {BuildError} `dockerfile/syntax` at `span`, when the text comes from a file
 */
export function parseCheckConfig(text: string, span: Span | undefined): CheckConfig {
  let config = DEFAULT_CHECKS;
  if (text.trim() === "") return config;
  for (const option of text.split(";")) {
    const trimmed = option.trim();
    const equals = trimmed.indexOf("=");
    const key = equals === -1 ? trimmed : trimmed.slice(0, equals).trim();
    const value = equals === -1 ? "" : trimmed.slice(equals + 1).trim();
    switch (equals === -1 ? "" : key) {
      case "skip":
        config = { ...config, skip: parseNames(value) };
        break;
      case "experimental":
        config = { ...config, experimental: parseNames(value) };
        break;
      case "error":
        config = { ...config, failOnWarning: parseBoolean(value, span) };
        break;
      default:
        throw new BuildError("dockerfile/syntax", `Cannot read the check options: ${JSON.stringify(key)} is not one`, {
          span,
          hint: 'write "skip=<rule>,<rule>" or "skip=all", "experimental=<rule>", "error=true", with ";" between them',
        });
    }
  }
  return config;
}

/** Merges the file's settings with an instruction's own `# check=` comment. */
export function mergeChecks(general: CheckConfig, own: CheckConfig): CheckConfig {
  return {
    skip: union(general.skip, own.skip),
    experimental: union(general.experimental, own.experimental),
    failOnWarning: general.failOnWarning || own.failOnWarning,
  };
}

function parseNames(value: string): CheckConfig["skip"] {
  const names = value.split(",").map((name) => name.trim());
  return names.length === 1 && names[0] === "all" ? "all" : new Set(names.filter((name) => name !== ""));
}

function parseBoolean(value: string, span: Span | undefined): boolean {
  // The words that Go accepts as a boolean.
  if (["1", "t", "T", "TRUE", "true", "True"].includes(value)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(value)) return false;
  throw new BuildError("dockerfile/syntax", `Cannot read the check options: error=${value} is neither true nor false`, {
    span,
  });
}

function union(a: CheckConfig["skip"], b: CheckConfig["skip"]): CheckConfig["skip"] {
  return a === "all" || b === "all" ? "all" : new Set([...a, ...b]);
}
