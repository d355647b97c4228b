import type { Digest } from "../../lib/core/digest.ts";
import { hasWildcards } from "../../lib/core/patterns/go-match.ts";
import type { SourceView } from "../../lib/tree/source-view.ts";
import { isAnyRacy, printOf } from "./fingerprints.ts";
import { select, type Selection } from "./select.ts";
import type { Selector } from "./selector.ts";

/** A digested selection. Its files are listed only on demand: a cached step does not need them. */
export interface DigestedSelection {
  readonly digest: Digest;
  /** True for a pattern that matches nothing. */
  readonly isEmpty: boolean;
  whole(signal: AbortSignal): Promise<Selection>;
}

/**
 * Computes the digest of a selection, without looking at single files where all of them are unchanged since it was last
 * computed.
 * @throws {BuildError} the errors of `select`
 */
export async function digestSelection(
  view: SourceView,
  selector: Selector,
  signal: AbortSignal,
): Promise<DigestedSelection> {
  const seen = await lookAt(view, selector, signal);
  const known = seen === undefined ? undefined : view.fingerprints?.get(seen.what, seen.print);
  if (known !== undefined) return { digest: known, isEmpty: false, whole: (inner) => select(view, selector, inner) };
  const selection = await select(view, selector, signal);
  if (seen?.isRacy() === false) view.fingerprints?.set(seen.what, seen.print, selection.digest);
  return toDigested(selection);
}

/** Wraps a selection that is already computed. */
export function toDigested(selection: Selection): DigestedSelection {
  const { digest, matches } = selection;
  return { digest, isEmpty: matches.length === 0, whole: async () => selection };
}

/** Returns nothing for files as they are, whose digests were kept before there was anything else. */
function uniformOf({ uniform }: SourceView): readonly string[] {
  return uniform === undefined ? [] : [String(uniform.mtimeNs)];
}

interface Seen {
  readonly what: string;
  readonly print: string;
  isRacy(): boolean;
}

/** Computes the fingerprint of a selector that takes one directory; other selectors are small or rare. */
async function lookAt(view: SourceView, selector: Selector, signal: AbortSignal): Promise<Seen | undefined> {
  if (view.fingerprints === undefined) return undefined;
  if (selector.kind === "copy" && (selector.parents || (selector.wildcard && hasWildcards(selector.source)))) {
    return undefined;
  }
  if (selector.kind === "way") return undefined;
  const { parent, entry, missing } = view.tree.resolve(selector.source, "follow");
  const directory = entry === undefined ? parent : entry.directory;
  if (missing.length > 0 || directory === undefined) return undefined;
  const layers = await view.layers(directory, signal);
  const [layer] = layers ?? [];
  if (layer === undefined || layers?.length !== 1) return undefined;
  return {
    what: JSON.stringify([view.owners, view.excludes, selector, directory.path, ...uniformOf(view)]),
    print: printOf(layer),
    isRacy: () => isAnyRacy(layer),
  };
}
