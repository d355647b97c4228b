/** Variables of buildx and docker that would change a build there and have no effect here, each with the reason. */
const IGNORED_VARIABLES: Readonly<Record<string, string>> = {
  BUILDKIT_HOST: "kiln builds by itself",
  BUILDX_BUILDER: "kiln builds by itself",
  BUILDX_CONFIG: "there are no builder instances to remember",
  BUILDX_CPU_PROFILE: "no profile is written",
  BUILDX_MEM_PROFILE: "no profile is written",
  BUILDX_NO_DEFAULT_OCI_ARTIFACT: "attestations are OCI artifacts in the index",
};

/** Variables with some values that ask for something kiln lacks. */
const REFUSED_VALUES: Readonly<Record<string, { readonly value: RegExp; readonly why: string }>> = {
  DOCKER_BUILDKIT: { value: /^(?:0|f|false)$/i, why: "there is one builder" },
  DOCKER_CONTENT_TRUST: {
    value: /^(?!(?:0|f|false)$)/i,
    why: "Docker Content Trust is not checked; name base images by their digests",
  },
};

/** Lists environment variables that have no effect here, one sentence each. */
export function ignoredVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const ignored = Object.entries(IGNORED_VARIABLES).flatMap(([name, why]) =>
    (env[name] ?? "") === "" ? [] : [[name, why]],
  );
  const refused = Object.entries(REFUSED_VALUES).flatMap(([name, { value, why }]) => {
    const text = env[name] ?? "";
    return text !== "" && value.test(text) ? [[`${name}=${text}`, why]] : [];
  });
  return [...ignored, ...refused].map(([name, why]) => `${name} is ignored: ${why}`);
}
