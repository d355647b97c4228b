import type { CopyAction } from "./op.ts";

type Named = Pick<CopyAction, "input" | "source" | "destination">;

/**
 * Makes the copy of one path as it is: no wildcards, nothing excluded or unpacked, owners and modes kept. `changes`
 * overrides members. The order of members is fixed, because the digests of vertices depend on it.
 */
export function plainCopy({ input, source, destination, ...changes }: Named & Partial<CopyAction>): CopyAction {
  return {
    kind: "copy",
    input,
    source,
    wildcard: false,
    destination,
    owner: undefined,
    mode: undefined,
    excludes: [],
    parents: false,
    unpack: "never",
    keepOwner: true,
    link: false,
    ...changes,
  };
}
