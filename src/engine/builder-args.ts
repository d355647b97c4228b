/** Build arguments that speak to BuildKit itself: `works`, or why they have no effect. */
export const BUILDER_ARGS: ReadonlyMap<string, string> = new Map([
  ["BUILDKIT_CACHE_MOUNT_NS", "works"],
  ["BUILDKIT_CONTEXT_KEEP_GIT_DIR", "works"],
  ["BUILDKIT_DOCKERFILE_CHECK", "works"],
  ["BUILDKIT_SANDBOX_HOSTNAME", "works"],
  ["BUILDKIT_SYNTAX", "works"],
  ["BUILDKIT_BUILD_NAME", "builds have no names"],
  ["BUILDKIT_INLINE_CACHE", "write --cache-to type=inline"],
  ["BUILDKIT_MULTI_PLATFORM", "an image for one platform has no index"],
  ["BUILDKIT_SBOM_SCAN_CONTEXT", "no SBOM is made"],
  ["BUILDKIT_SBOM_SCAN_STAGE", "no SBOM is made"],
]);

/** One sentence for each argument that was given for BuildKit and has no effect. */
export function uselessBuilderArgs(buildArgs: ReadonlyMap<string, string>): readonly string[] {
  return [...buildArgs].flatMap(([name, value]) => {
    // Asked to be off, it is.
    if (/^(?:0|f|false|)$/i.test(value)) return [];
    const what = name.startsWith("BUILDKIT_ATTEST_") ? "write --attest" : BUILDER_ARGS.get(name);
    return what === undefined || what === "works" ? [] : [`--build-arg ${name} has no effect: ${what}`];
  });
}
