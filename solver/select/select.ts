import type { Digest } from "../../lib/core/digest.ts";
import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import { compileGoPattern, hasWildcards } from "../../lib/core/patterns/go-match.ts";
import { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import { S_IFMT, S_IFSOCK } from "../../lib/native/constants.ts";
import type { Directory } from "../../lib/tree/merged-tree.ts";
import type { FileContents, SourceView } from "../../lib/tree/source-view.ts";
import type { TreeNode } from "../../lib/tree/tree-node.ts";
import { directoriesOn, ownAttributes } from "../../lib/tree/directories-on.ts";
import { CONTENTS, digestOfListing, escapePath, LETTERS, type ListedFile, listFiles } from "./listing.ts";
import { sourceNotFound } from "./not-found.ts";
import type { Selector } from "./selector.ts";

/** The files that a selector picks from a tree, in the order of copying. */
export interface Selection {
  /** Digest of the listing: equal digests mean that a copy makes the same files (except for their times). */
  readonly digest: Digest;
  /** One line per file, see `listFiles`; a miss is explained with it. */
  readonly listing: string;
  readonly matches: readonly Match[];
  /** Digests of the regular files: of each match itself, then of those below it. */
  readonly contents: FileContents;
}

/** One source of a copy, with its final symlink followed. */
export interface Match {
  /** Its name in a destination directory: the last one of the path as written or matched. */
  readonly name: string;
  /** The file or directory itself. */
  readonly node: TreeNode;
  /**
   * Copied files below a directory, a directory before its content, with paths relative to it. Empty for a file. With
   * `parents`, a directory may be listed only because of a file in it.
   */
  readonly files: readonly ListedFile[];
  /** True when the directory's contents keep their path below the pivot (`--parents`). */
  readonly keepsPath: boolean;
}

/**
 * Finds the files of a selector and digests them. Reads no file that the view's index knows.
 * @throws {BuildError} `solver/not-found` when a path without wildcards does not exist
 */
export async function select(view: SourceView, selector: Selector, signal: AbortSignal): Promise<Selection> {
  if (selector.kind === "way") return selectWay(view, selector.path);
  const matches = await findMatches(view, selector, signal);
  const listed = matches.flatMap((match) => [ownLine(match, selector), ...match.files]);
  const [only, ...others] = matches;
  const root = only?.node.isDirectory === true && others.length === 0 ? only.node : undefined;
  const purpose = selector.kind === "path" ? "see" : "copy";
  const tops = purpose === "see" ? [] : matches.map(({ node }) => node).filter((node) => node.isDirectory);
  const { text: listing, contents } = await listFiles(view, listed, { root, tops, purpose }, signal);
  return { digest: digestOfListing(listing), listing, matches, contents };
}

/** Selects the parent directories of a path. Their times count: the copy recreates them as they are. */
function selectWay(view: SourceView, path: string): Selection {
  const lines = directoriesOn(view.tree, path).map(({ entry, directory }) => {
    const { mode, uid, gid, mtimeNs } = entry.status;
    const type = LETTERS.get(mode & S_IFMT) ?? "?";
    const own = directory === undefined ? [] : ownAttributes(view.tree, directory);
    const attributes = own.map(([key, value]) => `\t${escapePath(key)}=${value.toString("hex")}`).join("");
    return `${escapePath(entry.name)}\t${type}\t${(mode & 0o7777).toString(8)}\t${uid}\t${gid}\t${mtimeNs}${attributes}\n`;
  });
  const { mode, uid, gid } = view.tree.root.status;
  const listing = [`./\td\t${(mode & 0o7777).toString(8)}\t${uid}\t${gid}\n`, ...lines].join("");
  return {
    digest: digestOfListing(listing),
    listing,
    matches: [],
    contents: { digests: Buffer.alloc(0), kept: new Map() },
  };
}

/** Does the same without contents, for a copy that runs in any case. */
export async function findMatches(
  view: SourceView,
  selector: Selector,
  signal: AbortSignal,
): Promise<readonly Match[]> {
  if (selector.kind === "way") return [];
  if (selector.kind === "path") return [await wholePath(view, selector.source, signal)];
  const excludes = selector.excludes.length === 0 ? undefined : new PatternMatcher(selector.excludes);
  if (selector.parents) return matchParents(view, selector.source, excludes, signal);
  if (!selector.wildcard || !hasWildcards(selector.source)) {
    const match = await matchOne(view, selector.source, excludes, signal);
    // A directory that is named is the root of the patterns; they apply to the files in it.
    return match.node.isDirectory || !isExcluded(cleanPath(selector.source), excludes) ? [match] : [];
  }
  const matches: Match[] = [];
  for (const path of await expandWildcards(view, selector.source, signal)) {
    const match = await matchOne(view, path, excludes, signal);
    const mayHold = match.node.isDirectory && excludes?.mayContainIncluded(path) === true;
    if (mayHold || !isExcluded(path, excludes)) matches.push(match);
  }
  return matches;
}

/**
 * Tells whether a source itself is excluded, by its whole path: a pattern that only matches a directory above it does
 * not count.
 */
function isExcluded(path: string, excludes: PatternMatcher | undefined): boolean {
  return excludes?.matchesBelow(path, excludes.root) === true;
}

/**
 * Makes the line of a match. A directory that is copied by its contents leaves no trace of its own name or mode; a file
 * does.
 */
function ownLine(match: Match, selector: Selector): ListedFile | typeof CONTENTS {
  if (selector.kind !== "copy") return { path: "", node: match.node };
  return match.node.isDirectory ? CONTENTS : { path: match.name, node: match.node };
}

async function wholePath(view: SourceView, source: string, signal: AbortSignal): Promise<Match> {
  const found = await locate(view, source, "mount", signal);
  const files = found.directory === undefined ? [] : everyFile(found.node);
  return { name: "", node: found.node, files, keepsPath: false };
}

async function matchOne(
  view: SourceView,
  source: string,
  excludes: PatternMatcher | undefined,
  signal: AbortSignal,
): Promise<Match> {
  const found = await locate(view, source, "copy", signal);
  const files = found.directory === undefined ? [] : flatten(found.node, excludes);
  return { name: baseName(source), node: found.node, files, keepsPath: false };
}

interface Located {
  readonly node: TreeNode;
  /** Present for a directory; the node then holds all of it. */
  readonly directory: Directory | undefined;
}

/** Finds a source, following symlinks, the last one too. */
async function locate(
  view: SourceView,
  source: string,
  purpose: "copy" | "mount",
  signal: AbortSignal,
): Promise<Located> {
  const { parent, entry, missing } = view.tree.resolve(source, "follow");
  if (missing.length > 0) throw await sourceNotFound(view, source, purpose, signal);
  const directory = entry === undefined ? parent : entry.directory;
  if (directory !== undefined) {
    const node = await view.scan(directory, signal);
    if (directory.match?.excluded === true && node.children.length === 0) {
      throw await sourceNotFound(view, source, purpose, signal);
    }
    return { node, directory };
  }
  const node = entry === undefined ? undefined : await view.entry(parent, entry.name, signal);
  if (node === undefined) throw await sourceNotFound(view, source, purpose, signal);
  return { node, directory: undefined };
}

/** Lists everything below a directory, sockets included: a command may check whether they exist. */
function everyFile(root: TreeNode): ListedFile[] {
  const files: ListedFile[] = [];
  addAll(root, "", files, "sockets too");
  return files;
}

/** Lists everything below a directory that the patterns leave, a directory before its content. */
function flatten(root: TreeNode, excludes: PatternMatcher | undefined): ListedFile[] {
  const files: ListedFile[] = [];
  if (excludes === undefined) {
    addAll(root, "", files);
    return files;
  }
  const visit = (node: TreeNode, prefix: string, above: PatternMatcher["root"]): void => {
    for (const child of node.children) {
      const path = prefix + child.name;
      if (!child.isDirectory) {
        if (child.type !== S_IFSOCK && !excludes.matchesBelow(path, above)) files.push({ path, node: child });
        continue;
      }
      const match = excludes.enter(path, above);
      if (match.excluded && !excludes.mayContainIncluded(path)) continue;
      const at = files.push({ path, node: child });
      visit(child, `${path}/`, match);
      // It was listed only for files that a "!" pattern includes, and there are none.
      if (match.excluded && files.length === at) files.pop();
    }
  };
  visit(root, "", excludes.root);
  return files;
}

function addAll(node: TreeNode, prefix: string, into: ListedFile[], which: "files" | "sockets too" = "files"): void {
  for (const child of node.children) {
    // A socket is useless without the process that listens on it; layers cannot hold one.
    if (child.type === S_IFSOCK && which === "files") continue;
    const path = prefix + child.name;
    into.push({ path, node: child });
    if (child.isDirectory) addAll(child, `${path}/`, into, which);
  }
}

/**
 * Finds paths that match a pattern with wildcards, in the order of a walk. The part before the first wildcard is a
 * path, and its symlinks are followed. From there on names are matched one by one; this equals `filepath.Match` on the
 * whole path, since no wildcard matches a slash. The walk does not enter a directory that matches.
 */
async function expandWildcards(view: SourceView, source: string, signal: AbortSignal): Promise<readonly string[]> {
  const names = source.split("/").filter((name) => name !== "" && name !== ".");
  const first = names.findIndex(hasWildcards);
  const base = names.slice(0, first).join("/");
  const directory = view.tree.directoryAt(base);
  // The pattern may match nothing, but the directory to match in must exist.
  if (directory === undefined) throw await sourceNotFound(view, base, "copy", signal);
  const patterns = names.slice(first).map(compileGoPattern);
  let found: readonly { readonly path: string; readonly directory: Directory | undefined }[] = [
    { path: base, directory },
  ];
  for (const matches of patterns) {
    const next: { path: string; directory: Directory | undefined }[] = [];
    for (const at of found) {
      if (at.directory === undefined) continue;
      for (const child of (await view.list(at.directory, signal)).children) {
        if (!matches(child.name)) continue;
        const entry = view.tree.child(at.directory, child.name);
        if (entry === undefined) continue;
        next.push({ path: at.path === "" ? child.name : `${at.path}/${child.name}`, directory: entry.directory });
      }
    }
    found = next;
  }
  const visible: string[] = [];
  for (const { path, directory: match } of found) {
    if (match?.match?.excluded === true && (await view.scan(match, signal)).children.length === 0) continue;
    visible.push(path);
  }
  return visible;
}

/**
 * Matches for `--parents`: the part before `/./` is a directory, and the rest a pattern for the files below it (`**`
 * crosses directories), with the semantics of an ignore pattern: a directory that matches includes everything in it.
 */
async function matchParents(
  view: SourceView,
  source: string,
  excludes: PatternMatcher | undefined,
  signal: AbortSignal,
): Promise<readonly Match[]> {
  const pivot = source.indexOf("/./");
  const base = pivot === -1 ? "" : source.slice(0, pivot);
  const pattern = (pivot === -1 ? source : source.slice(pivot + 3)).split("/").filter((n) => n !== "" && n !== ".");
  const bases = hasWildcards(base) ? await expandWildcards(view, base, signal) : [base];
  const matches: Match[] = [];
  const text = pattern.join("/");
  for (const at of bases) {
    const { node } = await locate(view, at, "copy", signal);
    const files = flatten(node, excludes);
    const included = text === "" ? files : onlyIncluded(files, new PatternMatcher([text]));
    if (included.length === 0 && !hasWildcards(source))
      throw await sourceNotFound(view, `${at}/${text}`, "copy", signal);
    matches.push({ name: baseName(at), node, files: included, keepsPath: true });
  }
  return matches;
}

/** Keeps the files that match the pattern, with the directories above them. */
function onlyIncluded(files: readonly ListedFile[], pattern: PatternMatcher): ListedFile[] {
  const kept: ListedFile[] = [];
  const open: { readonly file: ListedFile; readonly match: PatternMatcher["root"]; isKept: boolean }[] = [];
  for (const file of files) {
    while (open.length > 0 && !file.path.startsWith(`${open.at(-1)?.file.path}/`)) open.pop();
    const above = open.at(-1)?.match ?? pattern.root;
    const match = file.node.isDirectory ? pattern.enter(file.path, above) : undefined;
    const isMatch = match === undefined ? pattern.matchesBelow(file.path, above) : match.excluded;
    if (isMatch) {
      for (const parent of open) {
        if (!parent.isKept) kept.push(parent.file);
        parent.isKept = true;
      }
      kept.push(file);
    }
    if (match !== undefined) open.push({ file, match, isKept: isMatch });
  }
  return kept;
}

function baseName(path: string): string {
  return path.split("/").findLast((name) => name !== "" && name !== ".") ?? "";
}
