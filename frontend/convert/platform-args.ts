import { type Platform, formatPlatform } from "../../lib/core/platform.ts";

/** Makes the ARGs that every file has without declaring them: visible in FROM at once, in a stage after `ARG NAME`. */
export function platformArgs(facts: {
  readonly build: Platform;
  readonly target: Platform;
  /** Name of the target stage; `undefined` when it has none. */
  readonly targetStage: string | undefined;
}): Map<string, string> {
  return new Map([
    ...describe("BUILD", facts.build, "short"),
    ...describe("TARGET", facts.target, "version"),
    ["TARGETSTAGE", facts.targetStage ?? "default"],
  ]);
}

function describe(prefix: string, platform: Platform, form: "short" | "version"): (readonly [string, string])[] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform, form)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, platform.osVersion ?? ""],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ""],
  ];
}

const PROXY_NAMES = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/**
 * Makes the variables that proxy build args add to the environment of every RUN, in both spellings. They travel beside
 * the graph, because a proxy does not change what a RUN computes.
 */
export function proxyEnvironment(buildArgs: ReadonlyMap<string, string>): readonly string[] {
  const values = new Map<string, string>();
  for (const name of [...buildArgs.keys()].toSorted()) {
    const lower = name.toLowerCase();
    const value = buildArgs.get(name);
    if (PROXY_NAMES.includes(lower) && value !== undefined) values.set(lower, value);
  }
  return PROXY_NAMES.flatMap((name) => {
    const value = values.get(name);
    return value === undefined ? [] : [`${name.toUpperCase()}=${value}`, `${name}=${value}`];
  });
}
