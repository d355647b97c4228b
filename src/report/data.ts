/*
 * The data of a build's page: one JSON document, which the page's own code draws. All texts are safe to show: without
 * control characters, except colours in logs.
 */

export interface PageData {
  readonly build: PageBuild;
  /** Everything that the build did, in the order of beginning. */
  readonly steps: readonly PageStep[];
  /** Layers of the image, lowest first; empty without an image. */
  readonly layers: readonly PageLayer[];
  readonly before: PageBefore | undefined;
}

export interface PageBuild {
  readonly id: string;
  readonly name: string;
  readonly status: "completed" | "failed" | "cancelled" | "interrupted" | "running";
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** Names and values, for a list. */
  readonly facts: readonly (readonly [name: string, values: readonly string[]])[];
  /** Numbers of the Dockerfile's steps. */
  readonly total: number;
  readonly cached: number;
  readonly version: string;
}

export interface PageStep {
  readonly name: string;
  /** `work`: kiln's own, beside the steps of the Dockerfile. */
  readonly how: "ran" | "cached" | "cutoff" | "work";
  readonly state: "done" | "cached" | "failed" | "cancelled";
  readonly stage: string | undefined;
  /** `Dockerfile:12`. */
  readonly place: string | undefined;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  /** Indexes of the steps that it needed. */
  readonly needs: readonly number[];
  /** True on the longest way through the build: the build is shorter only if one of these is. */
  readonly isCritical: boolean;
  readonly why: string | undefined;
  /** Differences from the earlier run, a line each. */
  readonly changes: readonly string[];
  readonly cpuMs: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly readBytes: number | undefined;
  readonly writtenBytes: number | undefined;
  readonly layerBytes: number | undefined;
  readonly files: PageFiles | undefined;
  readonly log: PageLog | undefined;
  /** The same step in the build before. */
  readonly before: PageStepBefore | undefined;
}

/** Files that a step wrote or removed. */
export interface PageFiles {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** Bytes of the written files. */
  readonly bytes: number;
  /** The largest ones. */
  readonly list: readonly PageFile[];
  /** Number of those that are not listed. */
  readonly more: number;
}

export interface PageFile {
  readonly path: string;
  /** `written`: whether it was there before is not known. */
  readonly how: "added" | "changed" | "removed" | "written";
  readonly bytes: number;
}

export interface PageLog {
  readonly text: string;
  /** A sentence in place of the missing middle, and the text after it. */
  readonly cut: { readonly note: string; readonly rest: string } | undefined;
}

export interface PageStepBefore {
  readonly how: "ran" | "cached" | "cutoff";
  readonly durationMs: number | undefined;
  readonly layerBytes: number | undefined;
}

export interface PageLayer {
  /** The instruction that made it, or that it is of the base image. */
  readonly title: string;
  readonly bytes: number | undefined;
  readonly isBase: boolean;
  /** Its files as a tree; absent where they are not in the store. */
  readonly tree: PageTree | undefined;
}

/** A file, a directory, or small ones put together. */
export interface PageTree {
  readonly name: string;
  readonly bytes: number;
  readonly children?: readonly PageTree[];
}

/** The build before, for a comparison. */
export interface PageBefore {
  readonly id: string;
  readonly startedAtMs: number;
  readonly durationMs: number | undefined;
  readonly imageBytes: number | undefined;
  readonly total: number;
  readonly cached: number;
  /** Names of steps that it had and this one has not. */
  readonly gone: readonly string[];
}
