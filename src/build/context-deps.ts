import type { Native } from "../native/native.ts";
import type { Fetch } from "../registry/fetch.ts";
import type { GitOp } from "../../solver/graph/op.ts";
import type { RemoteSource } from "../../solver/ports.ts";
import type { BuildEnvironment } from "./environment.ts";

/** What loading a context may use. */
export interface ContextDeps {
  readonly environment: BuildEnvironment;
  readonly native: Native;
  readonly git: RemoteSource<GitOp>;
  readonly fetch: Fetch;
  /** From the build argument BUILDKIT_CONTEXT_KEEP_GIT_DIR. */
  readonly keepGitDir: boolean;
  /** A new directory that is removed when the build ends. */
  scratchDirectory(): string;
}
