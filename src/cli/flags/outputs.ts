import { BuildError } from "../../../lib/core/errors.ts";
import {
  type AnnotationOption,
  DEFAULT_IMAGE_OPTIONS,
  type EngineName,
  type EngineOutput,
  type OutputSpec,
  STORE_OUTPUT,
} from "../../export/output-spec.ts";
import { annotationTarget, parseOutput, withoutEffect } from "../../export/parse-output.ts";
import { keyValues, malformed } from "./csv.ts";

/** The output flags together. */
export interface OutputFlags {
  readonly outputs: readonly string[];
  /** `store`: kiln's own; or the engine that gets the image. `undefined` when nothing is to be loaded. */
  readonly load: "store" | EngineName | undefined;
  readonly push: boolean;
  readonly annotations: readonly string[];
  /** True with BUILDX_NO_DEFAULT_LOAD: a build without an output keeps its cache and no image. */
  readonly noDefaultLoad?: boolean;
}

/**
 * Returns the outputs of a build. By default the image goes into the local store; `--load` asks for just that, and
 * `--push` turns an image output into a push.
 */
export function outputSpecs(flags: OutputFlags): OutputSpec[] {
  const annotations = flags.annotations.flatMap(annotationOptions);
  const specs = flags.outputs.map((text) => parseOutput(outputAttributes(text)));
  const image = specs.find((spec) => spec.kind === "image");
  const add = (push: boolean): void => {
    specs.push({ ...STORE_OUTPUT, push });
  };
  if (flags.load !== undefined) add(false);
  if (flags.load !== undefined && flags.load !== "store") specs.push(engineOutput(flags.load));
  if (flags.push && image === undefined) add(true);
  if (specs.length === 0) {
    if (flags.noDefaultLoad === true) specs.push({ kind: "cacheonly" });
    else add(false);
  }
  return specs.map((spec) => {
    if (!("image" in spec)) return spec;
    const withAnnotations = { ...spec.image, annotations: [...spec.image.annotations, ...annotations] };
    if (spec.kind === "image")
      return { ...spec, image: withAnnotations, push: spec.push || (flags.push && spec === image) };
    return { ...spec, image: withAnnotations };
  });
}

const ENGINES: readonly EngineName[] = ["docker", "podman", "containerd"];

/**
 * Reads --load: bare for the engine of `setting` (KILN_LOAD) or kiln's store, with a value for an engine. A build without any
 * output loads into the engine of the setting.
 * @throws {BuildError} `cli/usage`
 */
export function loadTarget(
  value: unknown,
  { setting, hasOutput }: { readonly setting: string | undefined; readonly hasOutput: boolean },
): OutputFlags["load"] {
  const isSet = setting !== undefined && setting !== "";
  if (value === undefined && (hasOutput || !isSet)) return undefined;
  const text = typeof value === "string" && !/^(?:|1|t|true)$/i.test(value) ? value : isSet ? setting : "store";
  if (/^(?:0|f|false)$/i.test(text)) return undefined;
  const found = (["store", ...ENGINES] as const).find((one) => one === text);
  if (found !== undefined) return found;
  throw new BuildError("cli/usage", `Cannot load into ${JSON.stringify(text)}`, {
    hint: `engines: ${ENGINES.join(", ")}; store is kiln's own`,
  });
}

function engineOutput(engine: EngineName): EngineOutput {
  return { kind: "engine", engine, image: DEFAULT_IMAGE_OPTIONS, context: undefined };
}

/** Lists attributes of outputs without any effect, one sentence each. */
export function outputNotices(outputs: readonly string[]): string[] {
  return outputs.flatMap((text) => withoutEffect(outputAttributes(text)));
}

/** Parses `type=oci,dest=out.tar`; a bare path is a directory for the files, `-` a tar of them on standard output. */
function outputAttributes(text: string): Map<string, string> {
  if (text.includes("=")) return keyValues(text, "output");
  return new Map([
    ["type", text === "-" ? "tar" : "local"],
    ["dest", text],
  ]);
}

/** Parses `[type[platform][,type...]:]key=value`. */
function annotationOptions(text: string): AnnotationOption[] {
  const equals = text.indexOf("=");
  if (equals <= 0) throw malformed("annotation", text, "it is not key=value");
  const value = text.slice(equals + 1);
  const [, targets, key = text.slice(0, equals)] =
    /^([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):(.+)$/.exec(text.slice(0, equals)) ?? [];
  return (targets ?? "manifest").split(",").map((one) => {
    const [, target = "", platform] = /^([a-z-]+)(?:\[(.*)\])?$/.exec(one) ?? [];
    return { target: annotationTarget(target), platform, key, value };
  });
}
