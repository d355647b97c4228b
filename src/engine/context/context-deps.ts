import { BuildError } from "../../../lib/core/errors.ts";
import type { SourceText } from "../../../lib/core/span.ts";
import type { Native } from "../../../lib/native/native.ts";
import type { Fetch } from "../../../lib/registry/fetch.ts";
import type { GitOp } from "../../../solver/graph/op.ts";
import type { RemoteSource, SecretSource } from "../../../solver/ports.ts";
import type { BuildEnvironment } from "../environment.ts";

/** What loading a context may use. */
export interface ContextDeps {
  readonly environment: BuildEnvironment;
  readonly native: Native;
  readonly git: RemoteSource<GitOp>;
  readonly fetch: Fetch;
  /** For servers that ask who is there. */
  readonly secrets: SecretSource;
  /** From the build argument BUILDKIT_CONTEXT_KEEP_GIT_DIR. */
  readonly keepGitDir: boolean;
  /** Files of a repository get their commit's time: the build argument SOURCE_DATE_EPOCH is given. */
  readonly commitTimes: boolean;
  /** A new directory that is removed when the build ends. */
  scratchDirectory(): string;
  /** Tells the user something that does not stop the build. */
  notice(message: string): void;
}

/** The build context and the Dockerfile, loaded. */
export interface LoadedContext {
  /** Absolute path of the files; an empty directory where there are none. */
  readonly directory: string;
  readonly dockerfile: SourceText;
  /** The ignore file that counts; `undefined` when there is none. */
  readonly ignoreFile: SourceText | undefined;
  /** Whose the files are: the client's, which become root's in the image, or whose an archive says. */
  readonly owners: "root" | "kept";
  /** Names the bytes of a context from elsewhere; absent for files of this machine. */
  readonly digest?: SourceDigest;
  /** When the files were last changed, in seconds since 1970; `undefined` for those of this machine. */
  readonly sourceDate?: (signal: AbortSignal) => Promise<number | undefined>;
}

/** The digest of a source, as provenance writes it: `sha1` of a commit, `sha256` of a file. */
export type SourceDigest = Readonly<Record<string, string>>;

/** A Dockerfile larger than this is not one. */
export const MAX_DOCKERFILE_BYTES = 16 << 20;

export function tooLarge(name: string): BuildError {
  return new BuildError("dockerfile/syntax", `Cannot read ${JSON.stringify(name)}: it is larger than 16 MiB`);
}
