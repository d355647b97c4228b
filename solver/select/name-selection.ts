import type { Digest } from "../../lib/core/digest.ts";
import { hasWildcards } from "../../lib/core/patterns/go-match.ts";
import type { SourceView } from "../../lib/tree/source-view.ts";
import { isAnyRacy, printOf } from "./fingerprints.ts";
import { select, type Selection } from "./select.ts";
import type { Selector } from "./selector.ts";

/** A selection by name. What is in it is found when somebody needs it: a step that is cached does not. */
export interface NamedSelection {
  readonly digest: Digest;
  /** A pattern that matches nothing. */
  readonly isEmpty: boolean;
  whole(signal: AbortSignal): Promise<Selection>;
}

/**
 * Names what a selector takes, without looking at single files where all of them are as they were when it was named before.
 * @throws {BuildError} as `select`
 */
export async function nameSelection(
  view: SourceView,
  selector: Selector,
  signal: AbortSignal,
): Promise<NamedSelection> {
  const seen = await lookAt(view, selector, signal);
  const known = seen === undefined ? undefined : view.fingerprints?.get(seen.what, seen.print);
  if (known !== undefined) return { digest: known, isEmpty: false, whole: (inner) => select(view, selector, inner) };
  const selection = await select(view, selector, signal);
  if (seen?.isRacy() === false) view.fingerprints?.set(seen.what, seen.print, selection.digest);
  return namedBy(selection);
}

/** The name of a selection that is at hand. */
export function namedBy(selection: Selection): NamedSelection {
  const { digest, matches } = selection;
  return { digest, isEmpty: matches.length === 0, whole: async () => selection };
}

interface Seen {
  readonly what: string;
  readonly print: string;
  isRacy(): boolean;
}

/** The fingerprint of a selector that takes one directory; others are small, or rare. */
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
    what: JSON.stringify([view.owners, view.excludes, selector, directory.path]),
    print: printOf(layer),
    isRacy: () => isAnyRacy(layer),
  };
}
