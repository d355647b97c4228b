import { BuildError } from "../../../lib/core/errors.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { Fetch } from "../../../lib/registry/fetch.ts";
import type { GitOp } from "../../../solver/graph/op.ts";
import type { RemoteSource, SecretSource } from "../../../solver/ports.ts";
import type { BuildEnvironment } from "../environment.ts";

/** Dependencies for loading a context. */
export interface ContextDeps {
  readonly environment: BuildEnvironment;
  readonly native: Native;
  readonly git: RemoteSource<GitOp>;
  readonly fetch: Fetch;
  /** Credentials for servers that ask for them. */
  readonly secrets: SecretSource;
  /** Value of the build argument BUILDKIT_CONTEXT_KEEP_GIT_DIR. */
  readonly keepGitDir: boolean;
  /** True when the build argument SOURCE_DATE_EPOCH is given: files of a repository then get their commit's time. */
  readonly commitTimes: boolean;
  /** A new directory that is removed when the build ends. */
  scratchDirectory(): string;
  /** Reports something that does not stop the build. */
  notice(message: string): void;
}

/** The build context and the Dockerfile, loaded. */
export interface LoadedContext {
  /** Absolute path of the files; an empty directory where there are none. */
  readonly directory: string;
  readonly dockerfile: SourceText;
  /** The ignore file in use; `undefined` when there is none. */
  readonly ignoreFile: SourceText | undefined;
  /** Owners of the files: `root` for the client's, which become root's in the image; `kept` for an archive's. */
  readonly owners: "root" | "kept";
  /** Digest of a remote context; absent for files of this machine. */
  readonly digest?: SourceDigest;
  /** Returns the time of the last change, in seconds since 1970; `undefined` for files of this machine. */
  readonly sourceDate?: (signal: AbortSignal) => Promise<number | undefined>;
  /** Returns the time of the commit; present for a repository from elsewhere. */
  readonly commitDate?: (signal: AbortSignal) => Promise<number | undefined>;
}

/** The digest of a source, as provenance writes it: `sha1` of a commit, `sha256` of a file. */
export type SourceDigest = Readonly<Record<string, string>>;

/** Size limit of a Dockerfile. */
export const MAX_DOCKERFILE_BYTES = 16 << 20;

export function tooLarge(name: string): BuildError {
  return new BuildError("dockerfile/syntax", `Cannot read ${JSON.stringify(name)}: it is larger than 16 MiB`);
}
