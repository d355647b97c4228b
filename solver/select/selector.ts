import type { CopyAction } from "../graph/op.ts";

/** Which part of a tree someone looks at. Plain data. */
export type Selector =
  /** What a COPY or ADD takes. */
  | {
      readonly kind: "copy";
      /** Relative to the root; `..` does not leave it. */
      readonly source: string;
      readonly wildcard: boolean;
      /** Ignore-file patterns relative to each source. */
      readonly excludes: readonly string[];
      /** `source` is a pattern below what stands before its `/./`, and the directories on the way count. */
      readonly parents: boolean;
    }
  /** The directories that lead to a path, and what is there in the place of one. */
  | { readonly kind: "way"; readonly path: string }
  /** One file or directory as it is, its own mode included: what a bind mount shows. */
  | { readonly kind: "path"; readonly source: string };

export function copySelector(action: CopyAction): Selector {
  const { source, wildcard, excludes, parents } = action;
  return { kind: "copy", source, wildcard, excludes, parents };
}

export function pathSelector(source: string): Selector {
  return { kind: "path", source };
}
