export { type BuildResult, build } from "./engine/build.ts";
export type { BuildEnvironment } from "./engine/environment.ts";
export type { BuildOptions, SecretSpec, SshSpec } from "./engine/options.ts";
export { BuildError, type ErrorCode } from "../lib/core/errors.ts";
export type { ProgressEvent, ProgressSink } from "../lib/core/progress.ts";
