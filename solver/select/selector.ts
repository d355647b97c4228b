import type { CopyAction } from "../graph/op.ts";

/** The part of a tree that a step uses. Plain data. */
export type Selector =
  /** Files of a COPY or ADD. */
  | {
      readonly kind: "copy";
      /** Path relative to the root; `..` does not leave it. */
      readonly source: string;
      readonly wildcard: boolean;
      /** Ignore-file patterns relative to each source. */
      readonly excludes: readonly string[];
      /** True when `source` is a pattern below the part before its `/./`, and the directories on the way count. */
      readonly parents: boolean;
    }
  /** The parent directories of a path, or another file in the place of one. */
  | { readonly kind: "way"; readonly path: string }
  /** One file or directory as it is, its own mode included: the content of a bind mount. */
  | { readonly kind: "path"; readonly source: string };

export function copySelector(action: CopyAction): Selector {
  const { source, wildcard, excludes, parents } = action;
  return { kind: "copy", source, wildcard, excludes, parents };
}

export function pathSelector(source: string): Selector {
  return { kind: "path", source };
}
