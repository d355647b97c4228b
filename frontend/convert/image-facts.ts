import type { ContainerConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Place } from "../lint/linter.ts";
import type { Start } from "./base-image.ts";
import type { ImageDraft } from "./conversion.ts";
import { nativePath, platformPath } from "./windows-path.ts";

/** The image's configuration at one point of a stage. Instructions change it. */
export interface ImageFacts {
  /** The configuration that the stage started from. */
  readonly base: ImageDraft;
  /**
   * Working directory as the image stores it: an absolute path stays as written. Empty means `/`. `absolutePath` cleans
   * it.
   */
  workdir: string;
  /** True when a WORKDIR of this file set the working directory. */
  hasWorkdir: boolean;
  /** Variables, name to `NAME=value`, in order of first definition. */
  readonly env: Map<string, string>;
  readonly labels: Map<string, string>;
  readonly ports: Set<string>;
  readonly volumes: Set<string>;
  readonly onbuild: string[];
  author: string | undefined;
  /** The rest of the configuration. */
  config: Omit<ContainerConfig, "Env" | "Labels" | "ExposedPorts" | "Volumes" | "OnBuild" | "WorkingDir">;
  /** Places of CMD, ENTRYPOINT and HEALTHCHECK in this stage. */
  readonly seen: Map<"cmd" | "entrypoint" | "healthcheck", Place>;
}

/** Makes the facts of a stage on top of an image, a context or nothing. */
export function imageOnStart({ image, platform }: Pick<Start, "image" | "platform">): ImageFacts {
  const { Env, Labels, ExposedPorts, Volumes, OnBuild: _triggers, WorkingDir, ...config } = image.config;
  return {
    base: image,
    workdir: WorkingDir === undefined ? "" : platformPath(WorkingDir, platform, undefined),
    hasWorkdir: false,
    env: new Map((Env ?? []).map((entry) => [splitVariable(entry).name, entry])),
    labels: new Map(Object.entries(Labels ?? {})),
    ports: new Set(Object.keys(ExposedPorts ?? {})),
    volumes: new Set(Object.keys(Volumes ?? {})),
    onbuild: [],
    author: image.author,
    config,
    seen: new Map(),
  };
}

/** Makes the facts of a stage that continues another one: it inherits everything but the triggers. */
export function imageOnStage(below: ImageFacts): ImageFacts {
  return {
    ...below,
    env: new Map(below.env),
    labels: new Map(below.labels),
    ports: new Set(below.ports),
    volumes: new Set(below.volumes),
    onbuild: [],
    seen: new Map(),
  };
}

/** Splits a variable of an image's configuration; one without `=` is empty. */
export function splitVariable(entry: string): { readonly name: string; readonly value: string } {
  const equals = entry.indexOf("=");
  return equals === -1 ? { name: entry, value: "" } : { name: entry.slice(0, equals), value: entry.slice(equals + 1) };
}

/** Makes the image configuration of a stage in its present state. */
export function imageOf(facts: ImageFacts, platform: Platform, labels: ReadonlyMap<string, string>): ImageDraft {
  const all = new Map([...facts.labels, ...labels]);
  const { author: _author, ...image } = facts.base;
  return {
    ...image,
    ...(facts.author === undefined ? {} : { author: facts.author }),
    config: {
      ...facts.config,
      ...(facts.ports.size === 0 ? {} : { ExposedPorts: emptyObjects(facts.ports) }),
      ...(facts.env.size === 0 ? {} : { Env: [...facts.env.values()] }),
      ...(facts.volumes.size === 0 ? {} : { Volumes: emptyObjects(facts.volumes) }),
      ...(facts.workdir === "" ? {} : { WorkingDir: nativePath(facts.workdir, platform) }),
      ...(all.size === 0 ? {} : { Labels: Object.fromEntries([...all].toSorted(byName)) }),
      ...(facts.onbuild.length === 0 ? {} : { OnBuild: [...facts.onbuild] }),
    },
  };
}

function emptyObjects(names: ReadonlySet<string>): Record<string, Record<string, never>> {
  return Object.fromEntries([...names].toSorted().map((name) => [name, {}]));
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : Number(a > b);
}
