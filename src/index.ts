export { type BuildResult, build } from "./build/build.ts";
export type { BuildEnvironment } from "./build/environment.ts";
export type { BuildOptions, SecretSpec, SshSpec } from "./build/options.ts";
export { BuildError, type ErrorCode } from "./core/errors.ts";
export type { ProgressEvent, ProgressSink } from "./core/progress.ts";
