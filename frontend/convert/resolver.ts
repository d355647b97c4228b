import type { Digest } from "../../lib/core/digest.ts";
import type { ImageConfig } from "../../lib/core/oci.ts";
import type { Platform } from "../../lib/core/platform.ts";
import type { Span } from "../../lib/core/span.ts";
import type { GitOp, HttpOp } from "../../solver/graph/op.ts";

/** The frontend's only way out: everything it has to know that is not in the Dockerfile. */
export interface Resolver {
  /**
   * @param ref Normalised, `docker.io/library/alpine:latest`.
   * @throws {BuildError} `image/not-found`, `registry/*`; convert adds the place and a hint.
   */
  image(
    ref: string,
    at: { readonly platform: Platform; readonly span: Span | undefined },
    signal: AbortSignal,
  ): Promise<ResolvedBase>;

  /**
   * The `--build-context` called exactly `name`, or `undefined`. Asked first as `NAME::os/arch`, then as `NAME`; image
   * names come in their short form without `:latest`.
   */
  namedContext(
    name: string,
    at: { readonly platform: Platform },
    signal: AbortSignal,
  ): Promise<ContextSource | undefined>;

  /**
   * Seconds since the epoch at which a source was last changed: a commit's time, Last-Modified, the newest file of an archive;
   * `undefined` where there is none. Asked only when SOURCE_DATE_EPOCH names a source instead of a number.
   */
  sourceDate(source: ContextSource, signal: AbortSignal): Promise<number | undefined>;
}

export interface ResolvedBase {
  /** Full reference, as given or as redirected. */
  readonly ref: string;
  /** Of the platform's own manifest. */
  readonly manifest: Digest;
  readonly config: ImageConfig;
}

/** Where a tree comes from that is neither a stage nor made here. */
export type ContextSource =
  /** `name` is `context` or the `--build-context`'s; `excludes` are the patterns of its ignore file; `owners` as in `LocalOp`. */
  | {
      readonly kind: "local";
      readonly name: string;
      readonly excludes: readonly string[];
      readonly owners?: "kept" | undefined;
    }
  | ({ readonly kind: "image" } & ResolvedBase)
  | GitOp
  /** An archive, which is unpacked. */
  | HttpOp
  | { readonly kind: "scratch" };
