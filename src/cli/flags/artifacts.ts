import { BuildError } from "../../../lib/core/errors.ts";
import type { ArtifactSpec } from "../../engine/options.ts";

/**
 * Parses `--artifact STAGE:/PATH=DESTINATION`. The path may hold equals signs: the last one counts.
 * @throws {BuildError} `cli/usage`
 */
export function artifacts(values: readonly string[]): readonly ArtifactSpec[] {
  return values.map((text) => {
    const colon = text.indexOf(":");
    const equals = text.lastIndexOf("=");
    const stage = text.slice(0, Math.max(0, colon));
    const path = text.slice(colon + 1, Math.max(colon + 1, equals));
    const destination = equals === -1 ? "" : text.slice(equals + 1);
    if (stage === "" || equals < colon || destination === "" || !path.startsWith("/")) {
      throw malformed(text, "write STAGE:/PATH=DESTINATION; failed:/PATH is the tree of a step that failed");
    }
    if (destination === "-") throw malformed(text, "it is written to a file or a directory, not to standard output");
    return { stage, path, destination };
  });
}

/**
 * Parses `--on-error`: what becomes of a failed step's files.
 * @throws {BuildError} `cli/usage`
 */
export function onErrorAction(
  text: string,
): { readonly kind: "keep" | "shell" } | { readonly kind: "export"; readonly artifact: ArtifactSpec } {
  if (text === "keep" || text === "shell") return { kind: text };
  const destination = /^export=(.+)$/s.exec(text)?.[1];
  if (destination === undefined || destination === "-") {
    throw new BuildError("cli/usage", `Cannot use --on-error ${JSON.stringify(text)}`, {
      hint: "it is one of keep, shell, export=DIRECTORY",
    });
  }
  return { kind: "export", artifact: { stage: "failed", path: "/", onlyChanges: true, destination } };
}

function malformed(text: string, hint: string): BuildError {
  return new BuildError("cli/usage", `Cannot use --artifact ${JSON.stringify(text)}`, { hint });
}
