import { type Platform, formatPlatform } from "../../lib/core/platform.ts";

/** The ARGs that every file has without declaring them; in FROM at once, in a stage after `ARG NAME`. */
export function platformArgs(at: {
  readonly build: Platform;
  readonly target: Platform;
  /** Name of the stage that is built; `undefined` when it has none. */
  readonly targetStage: string | undefined;
}): Map<string, string> {
  return new Map([
    ...describe("BUILD", at.build, "short"),
    ...describe("TARGET", at.target, "version"),
    ["TARGETSTAGE", at.targetStage ?? "default"],
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
 * What the proxy build args add to the environment of every RUN, in both spellings. It travels beside the graph: a proxy is no
 * part of what a step computes.
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
