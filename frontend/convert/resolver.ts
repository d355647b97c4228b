import type { Digest } from "../../lib/core/digest.ts";
import type { ImageConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";

/** The frontend's only access to the outside: facts that are not in the Dockerfile. */
export interface Resolver {
  /**
   * Resolves an image.
   * @param ref Normalised, `docker.io/library/alpine:latest`.
   * @throws {BuildError} `image/not-found`, `registry/*`; convert adds the place and a hint.
   */
  image(
    ref: string,
    lookup: { readonly platform: Platform; readonly span: Span | undefined },
    signal: AbortSignal,
  ): Promise<ResolvedBase>;

  /**
   * Finds the `--build-context` with exactly this name, or `undefined`. Convert asks for `NAME::os/arch` first, then
   * for `NAME`; image names come in their short form without `:latest`.
   */
  namedContext(
    name: string,
    lookup: { readonly platform: Platform },
    signal: AbortSignal,
  ): Promise<ContextSource | undefined>;

  /**
   * Finds the seconds since the epoch at which a source last changed: a commit's time, Last-Modified, or the newest
   * file of an archive; `undefined` where there is none. Called only when SOURCE_DATE_EPOCH names a source instead of a
   * number.
   */
  sourceDate(source: ContextSource, signal: AbortSignal): Promise<number | undefined>;
}

export interface ResolvedBase {
  /** Full reference, as given or after a redirect. */
  readonly ref: string;
  /** Digest of the platform's own manifest. */
  readonly manifest: Digest;
  readonly config: ImageConfig;
}

/** The source of a tree that is neither a stage nor made by this build. */
export type ContextSource =
  /** `name` is `context` or the `--build-context`'s; `excludes` are the patterns of its ignore file; the rest as in `LocalOp`. */
  | {
      readonly kind: "local";
      readonly name: string;
      readonly excludes: readonly string[];
      readonly owners?: "kept" | undefined;
      readonly uniformTime?: number | undefined;
    }
  | ({ readonly kind: "image" } & ResolvedBase)
  | GitOp
  /** An archive, to be unpacked. */
  | HttpOp
  | { readonly kind: "scratch" };
