import { BuildError } from "../../lib/core/errors.ts";

/** Build arguments for BuildKit itself: `works`, or the reason why they have no effect. */
export const BUILDER_ARGS: ReadonlyMap<string, string> = new Map([
  ["BUILDKIT_CACHE_MOUNT_NS", "works"],
  ["BUILDKIT_CONTEXT_KEEP_GIT_DIR", "works"],
  ["BUILDKIT_DOCKERFILE_CHECK", "works"],
  ["BUILDKIT_SANDBOX_HOSTNAME", "works"],
  ["BUILDKIT_SYNTAX", "works"],
  ["BUILDKIT_BUILD_NAME", "builds have no names"],
  ["BUILDKIT_INLINE_CACHE", "works"],
  ["BUILDKIT_MULTI_PLATFORM", "works"],
  ["BUILDKIT_SBOM_SCAN_CONTEXT", "the SBOM is of the finished image alone"],
  ["BUILDKIT_SBOM_SCAN_STAGE", "the SBOM is of the finished image alone"],
]);

/**
 * Tells whether the result is an index: always for several platforms, and for one with the build argument
 * BUILDKIT_MULTI_PLATFORM.
 * @throws {BuildError} `cli/usage` for a value that is no boolean, or that contradicts the platforms
 */
export function isMultiPlatform(buildArgs: ReadonlyMap<string, string>, platforms: number): boolean {
  const name = "BUILDKIT_MULTI_PLATFORM";
  const asked = buildArgs.get(name) ?? "";
  if (asked === "") return platforms > 1;
  if (!/^(?:[01tTfF]|true|TRUE|True|false|FALSE|False)$/.test(asked)) {
    throw new BuildError("cli/usage", `The build argument ${name} is ${JSON.stringify(asked)}`, {
      hint: "it is true or false",
    });
  }
  if (/^[1tT]/.test(asked)) return true;
  if (platforms <= 1) return false;
  throw new BuildError(
    "cli/usage",
    `The build argument ${name} is false, and the build is for ${platforms} platforms`,
    {
      hint: "several platforms need an index: leave the argument away, or choose one platform",
    },
  );
}

/** Lists arguments for BuildKit without any effect, one sentence each. */
export function uselessBuilderArgs(buildArgs: ReadonlyMap<string, string>): readonly string[] {
  return [...buildArgs].flatMap(([name, value]) => {
    // It is off anyway.
    if (/^(?:0|f|false|)$/i.test(value)) return [];
    const what = name.startsWith("BUILDKIT_ATTEST_") ? "write --attest" : BUILDER_ARGS.get(name);
    return what === undefined || what === "works" ? [] : [`--build-arg ${name} has no effect: ${what}`];
  });
}
