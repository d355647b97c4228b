import { BuildError } from "../../lib/core/errors.ts";
import { suggest } from "../../lib/core/suggest.ts";
import { S_IFLNK, S_IFMT } from "../../lib/native/constants.ts";
import { printableName } from "../../lib/native/names.ts";
import type { SourceView } from "../../lib/tree/source-view.ts";

/** Facts about a missing source, for a caller that can add the file and line of the pattern. */
export interface MissingSource {
  readonly path: string;
  /** Index of the ignore pattern that excludes it although it exists. */
  readonly excludedBy: number | undefined;
  /** Existing names that are similar. */
  readonly similar: readonly string[];
}

/** A dangling symlink: the source, or a part of its path. */
interface LostLink {
  readonly path: string;
  readonly target: string;
  /** Its target in the tree, as far as that has a name. */
  readonly leadsTo: string;
}

/** The error, with `missing` for callers that have the ignore file. */
export class SourceNotFound extends BuildError {
  readonly missing: MissingSource;

  constructor(message: string, hint: string | undefined, missing: MissingSource) {
    super("solver/not-found", message, { hint });
    this.missing = missing;
  }
}

/**
 * Describes where the source was looked for, the ignore pattern that excludes it, and existing names that are similar.
 */
export async function sourceNotFound(
  view: SourceView,
  source: string,
  purpose: "copy" | "mount",
  signal: AbortSignal,
): Promise<SourceNotFound> {
  const path = source.replaceAll(/\/+/g, "/").replace(/^\//, "").replace(/\/$/, "");
  const shown = JSON.stringify(printableName(path));
  const excludes = view.tree.excludes;
  const excludedBy =
    excludes !== undefined && view.tree.native.tryStatat(view.tree.layerFd(0), path) !== undefined
      ? excludes.explain(path)
      : undefined;
  const link = excludedBy === undefined ? lostLink(view, path) : undefined;
  if (link !== undefined) return leadsNowhere(view, link, { path, purpose, shown });
  const similar = await similarNames(view, path, signal);
  const isEmpty = (await view.list(view.tree.root, signal)).children.length === 0;
  // A stage may well be empty, and there is no more to say.
  if (excludedBy === undefined && view.owners === "root" && isEmpty) {
    const hint = 'a Dockerfile on standard input comes without files: give them with "kiln build -f - DIRECTORY"';
    return new SourceNotFound(`Cannot ${purpose} ${shown}: there are no files to ${purpose}`, hint, {
      path,
      excludedBy,
      similar,
    });
  }
  const hint =
    excludedBy !== undefined
      ? `pattern ${excludedBy + 1} of the ignore file excludes it; add "!${printableName(path)}" below that line to keep it`
      : similar.length > 0
        ? `there is ${similar.map(quotedName).join(", ")}${hintOfBytes(similar)}`
        : undefined;
  const why = excludedBy === undefined ? "it does not exist" : "the ignore file excludes it";
  return new SourceNotFound(`Cannot ${purpose} ${shown} from ${view.root}: ${why}`, hint, {
    path,
    excludedBy,
    similar,
  });
}

/** Finds the first dangling symlink on a path, the last name included. */
function lostLink({ tree }: SourceView, path: string): LostLink | undefined {
  const names = path.split("/");
  for (let count = 1; count <= names.length; count += 1) {
    const way = names.slice(0, count).join("/");
    const { parent, entry } = tree.resolve(way, "keep");
    if (entry === undefined) return undefined;
    if ((entry.status.mode & S_IFMT) !== S_IFLNK) continue;
    const found = tree.resolve(way, "follow");
    if (found.missing.length === 0) continue;
    const leadsTo = [found.parent.path, ...found.missing].filter((name) => name !== "").join("/");
    return { path: way, target: tree.readLink(parent, entry), leadsTo };
  }
  return undefined;
}

function leadsNowhere(
  view: SourceView,
  link: LostLink,
  lookup: { readonly path: string; readonly purpose: "copy" | "mount"; readonly shown: string },
): SourceNotFound {
  const { path, purpose, shown } = lookup;
  const { excludes } = view.tree;
  const isIgnored = excludes?.explain(link.leadsTo) !== undefined;
  const subject = link.path === path ? "it" : quotedName(link.path);
  const nothing = isIgnored ? "which the ignore file excludes" : "and there is nothing";
  const leadsOut = link.target.startsWith("/") || link.target.startsWith("..");
  const hint = isIgnored
    ? `take ${quotedName(link.leadsTo)} back with a "!" line in the ignore file`
    : leadsOut
      ? `links are followed inside ${view.root}, where this one means ${quotedName(link.leadsTo)}; a link itself is copied with the directory it is in`
      : "a link itself is copied with the directory it is in";
  const message = `Cannot ${purpose} ${shown} from ${view.root}: ${subject} is a link to ${quotedName(link.target)}, ${nothing}`;
  return new SourceNotFound(message, hint, { path, excludedBy: undefined, similar: [] });
}

/** Quotes a name; bytes that are not UTF-8 are shown as `\xff`. */
function quotedName(name: string): string {
  // JSON writes such bytes as escaped lone surrogates.
  return JSON.stringify(name).replaceAll(/\\udc([89a-f][0-9a-f])/g, "\\x$1");
}

function hintOfBytes(names: readonly string[]): string {
  return names.every((name) => name.isWellFormed()) ? "" : "; a name that is not UTF-8 is found by a wildcard only";
}

/** Lists up to three paths beside the first missing name: the closest one, or else the directory's content. */
async function similarNames(view: SourceView, path: string, signal: AbortSignal): Promise<readonly string[]> {
  let directory = view.tree.root;
  let prefix = "";
  for (const name of path.split("/")) {
    const entry = view.tree.child(directory, name);
    if (entry?.directory !== undefined) {
      directory = entry.directory;
      prefix += `${name}/`;
      continue;
    }
    const names = (await view.list(directory, signal)).children.map((child) => child.name);
    const closest = suggest(name, names);
    const shown = closest === undefined ? (names.length <= 3 ? names : []) : [closest];
    return shown.map((found) => prefix + found);
  }
  return [];
}
