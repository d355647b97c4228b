import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import type { BuildEnvironment } from "./environment.ts";
import type { BuildOptions } from "./options.ts";

/** Variable with the file of a source policy, for BuildKit's clients. */
const SOURCE_POLICY = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY";

/**
 * Refuses a build with a policy: a Rego file beside the Dockerfile, which other builders find by themselves, or a
 * source policy in the environment. kiln evaluates none, and an unchecked build must not look allowed.
 *
 * @param directory of the loaded context
 * @throws {BuildError} `build/policy`
 */
export function refusePolicies(
  options: Pick<BuildOptions, "context" | "dockerfile">,
  directory: string,
  environment: Pick<BuildEnvironment, "env" | "workingDirectory">,
): void {
  const source = environment.env[SOURCE_POLICY] ?? "";
  if (source !== "") throw notEvaluated(`the source policy ${JSON.stringify(source)}`, `unset ${SOURCE_POLICY}`);
  for (const path of policyFiles(options, directory, environment.workingDirectory)) {
    if (existsSync(path)) throw notEvaluated(`the policy ${JSON.stringify(path)}`, "say --policy disabled=true");
  }
}

/** Lists the paths of the Dockerfile's policy. */
function policyFiles(
  { context, dockerfile }: Pick<BuildOptions, "context" | "dockerfile">,
  directory: string,
  workingDirectory: string,
): readonly string[] {
  if (dockerfile === undefined) return ["Dockerfile.rego", "dockerfile.rego"].map((name) => join(directory, name));
  if (dockerfile === "-" || /^https?:\/\//.test(dockerfile)) return [];
  // The same place as the Dockerfile: the working directory for a local context, inside any other.
  const isLocal = resolve(workingDirectory, context) === directory;
  return [`${isLocal ? resolve(workingDirectory, dockerfile) : join(directory, dockerfile)}.rego`];
}

function notEvaluated(what: string, way: string): BuildError {
  return new BuildError("build/policy", `Cannot apply ${what}: kiln evaluates no policies`, {
    hint: `check the Dockerfile with a tool of your own; to build without it, ${way}`,
  });
}
