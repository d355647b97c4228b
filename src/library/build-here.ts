import { randomBytes } from "node:crypto";
import { build } from "../engine/build.ts";
import type { BuildResult } from "../engine/build-result.ts";
import type { BuildOptions } from "../engine/options.ts";
import { type OutputSpec, STORE_OUTPUT } from "../export/output-spec.ts";
import { parseOutput } from "../export/parse-output.ts";
import type { Hooks } from "./hooks.ts";
import { type PlaceOptions, processEnvironment } from "./process-environment.ts";

/** The options of a build that are plain data. */
export interface PlainBuildOptions
  extends
    PlaceOptions,
    Partial<Omit<BuildOptions, "outputs" | "part" | "schedule" | "onKeys" | "progress" | "onReport">> {
  /**
   * The destinations of the result: a directory for its files, or the attributes of `kiln build --output`, as in
   * `{ type: "oci", dest: "app.tar" }`. Default: the local store.
   */
  readonly outputs?: readonly (string | Readonly<Record<string, string>>)[] | undefined;
  /** True to push the image to the registry in its name, besides keeping it in the store. */
  readonly push?: boolean | undefined;
  /** Size limit of the store in bytes. Default: a share of the disk. */
  readonly keepStorageBytes?: number | undefined;
}

/** Builds in this process. */
export async function buildHere(options: PlainBuildOptions, hooks: Hooks): Promise<BuildResult> {
  const { root, workingDirectory, env, outputs, push, keepStorageBytes, ...rest } = options;
  const { stdin, progress, onReport, signal } = hooks;
  const environment = processEnvironment({ root, workingDirectory, env, stdin, keepStorageBytes });
  // Two builds of one process may begin in the same millisecond.
  const part = randomBytes(4).toString("hex");
  const request = { context: ".", ...rest, outputs: outputSpecs(outputs, push === true), part, progress, onReport };
  return build(request, environment, signal);
}

function outputSpecs(given: PlainBuildOptions["outputs"], push: boolean): readonly OutputSpec[] {
  if (given === undefined || given.length === 0) return [{ ...STORE_OUTPUT, push }];
  const specs = given.map((one) =>
    parseOutput(new Map(Object.entries(typeof one === "string" ? { type: "local", dest: one } : one))),
  );
  if (!push) return specs;
  const hasImage = specs.some((spec) => spec.kind === "image");
  if (!hasImage) return [...specs, { ...STORE_OUTPUT, push }];
  return specs.map((spec) => (spec.kind === "image" ? { ...spec, push: true } : spec));
}
