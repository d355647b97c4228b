import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { BuildError } from "../../lib/core/errors.ts";
import { parseGitUrl } from "../../lib/core/git-url.ts";
import { PatternMatcher } from "../../lib/core/patterns/pattern-matcher.ts";
import { parseIgnoreFile } from "../../frontend/ignore/ignore-file.ts";
import { dockerfileNames, findIgnoreFile } from "../engine/context/context-files.ts";
import type { BuildOptions } from "../engine/options.ts";
import type { OutputSpec } from "../export/output-spec.ts";
import type { TreeFilter } from "./tree-watcher.ts";

/** A directory to watch. */
export interface WatchedTree {
  readonly root: string;
  readonly filter: TreeFilter;
}

/** Paths of this machine that a build reads, as far as its options say. */
export interface WatchedPlaces {
  readonly trees: readonly WatchedTree[];
  /** Dockerfiles and ignore files: a change of one may change what is worth watching. */
  readonly definitions: ReadonlySet<string>;
}

/** Files that belong to the build and not to its sources, besides its outputs; absolute. */
export interface OwnFiles {
  readonly paths: readonly string[];
}

const IGNORE_FILES = [".dockerignore", ".containerignore"];
/** The name of a file that an output is written into before it is whole. */
const PARTIAL = /^\.kiln-\d+-\d+\.partial$/;

/**
 * Finds the directories that are worth watching for a build.
 * @throws {BuildError} `context/not-found`, `context/unsupported`, `cli/usage` for outputs around the context
 */
export async function watchedPlaces(
  options: Pick<BuildOptions, "context" | "dockerfile" | "contexts" | "outputs">,
  place: { readonly workingDirectory: string; readonly own: OwnFiles },
  signal: AbortSignal,
): Promise<WatchedPlaces> {
  const absolute = (path: string): string => resolve(place.workingDirectory, path);
  const directory = contextDirectory(options.context, absolute);
  const named = Object.values(options.contexts ?? {}).flatMap((text) => directoryOf(text, absolute) ?? []);
  const outputs = (options.outputs ?? []).flatMap((output) => destinationOf(output) ?? []).map(absolute);
  for (const tree of [directory, ...named]) refuseAround(tree, outputs);
  const own = [...outputs, ...place.own.paths];
  const isOwn = (path: string): boolean =>
    PARTIAL.test(basename(path)) || own.some((one) => path === one || path.startsWith(`${one}/`));
  const { dockerfile } = options;
  const isFile = dockerfile !== "-" && !/^https?:\/\//.test(dockerfile ?? "");
  const base = dockerfile === undefined ? directory : place.workingDirectory;
  const dockerfiles = isFile ? dockerfileNames(dockerfile).map((name) => resolve(base, name)) : [];
  const written = [
    ...dockerfiles.flatMap((path) => [path, ...IGNORE_FILES.map((suffix) => path + suffix)]),
    ...IGNORE_FILES.map((name) => join(directory, name)),
  ];
  // A link and the file that it leads to: either may be changed.
  const files = written.filter((path) => existsSync(path)).map((path) => realpathSync(path));
  const definitions = new Set([...written, ...files]);
  const excludes = await excludesOf(directory, dockerfiles, signal);
  return {
    definitions,
    trees: [
      { root: directory, filter: contextFilter(directory, excludes, isOwn) },
      ...named.map((root) => ({ root, filter: contextFilter(root, new PatternMatcher([]), isOwn) })),
      ...definitionTrees(definitions),
    ],
  };
}

function contextDirectory(context: string, absolute: (path: string) => string): string {
  const path = absolute(context);
  const status = context === "-" ? undefined : statSync(path, { throwIfNoEntry: false });
  if (status?.isDirectory() === true) return path;
  if (context === "-" || /^[a-z]+:\/\//.test(context) || parseGitUrl(context) !== undefined || status !== undefined) {
    throw new BuildError("context/unsupported", `Cannot watch ${JSON.stringify(context)}: it is no directory`);
  }
  throw new BuildError("context/not-found", `path ${JSON.stringify(context)} not found`);
}

/** Returns the directory that a named context is read from; `undefined` for images, URLs and repositories. */
function directoryOf(text: string, absolute: (path: string) => string): string | undefined {
  const layout = /^oci-layout:\/\/(.*)$/.exec(text)?.[1];
  if (layout === undefined && (/^[a-z][a-z0-9-]*:/.test(text) || parseGitUrl(text) !== undefined)) return undefined;
  const path = absolute(layout?.replace(/[:@][^/]*$/, "") ?? text);
  return existsSync(path) ? path : undefined;
}

function destinationOf(output: OutputSpec): string | undefined {
  return "destination" in output && output.destination !== "-" ? output.destination : undefined;
}

/** Refuses an output directory with the context in it: what is written there would be a source of the next build. */
function refuseAround(tree: string, outputs: readonly string[]): void {
  const around = outputs.find((output) => tree === output || tree.startsWith(`${output === "/" ? "" : output}/`));
  if (around === undefined) return;
  throw new BuildError(
    "cli/usage",
    `Cannot watch "${tree}" and write into "${around}": each build would begin the next`,
    {
      hint: "write into a directory of its own, as in -o out",
    },
  );
}

async function excludesOf(
  directory: string,
  dockerfiles: readonly string[],
  signal: AbortSignal,
): Promise<PatternMatcher> {
  const dockerfile = dockerfiles.find((path) => existsSync(path));
  const place = dockerfile === undefined ? { directory } : { directory, dockerfile };
  try {
    const source = await findIgnoreFile(place, { notice: () => undefined }, signal);
    return new PatternMatcher(source === undefined ? [] : parseIgnoreFile(source).patterns.map(({ text }) => text));
  } catch (error) {
    // The build says what is wrong with it. Until it is right, everything counts.
    if (error instanceof BuildError) return new PatternMatcher([]);
    throw error;
  }
}

function contextFilter(root: string, excludes: PatternMatcher, isOwn: (path: string) => boolean): TreeFilter {
  return {
    isIgnored: (path) => excludes.matches(path) || isOwn(join(root, path)),
    isPruned: (path) => isOwn(join(root, path)) || (excludes.matches(path) && !excludes.mayContainIncluded(path)),
  };
}

/** Makes trees without depth of the directories of Dockerfiles and ignore files, which the context may leave out or not have. */
function definitionTrees(definitions: ReadonlySet<string>): WatchedTree[] {
  const roots = new Set([...definitions].map((path) => dirname(path)));
  return [...roots].map((root) => ({
    root,
    filter: { isIgnored: (path) => !definitions.has(join(root, path)), isPruned: () => true },
  }));
}
