import { BuildError } from "../../../src/core/errors.ts";
import { suggest } from "../../../src/core/suggest.ts";
import { printableName } from "../../../src/native/names.ts";
import type { SourceView } from "../../ops/tree/source-view.ts";

/** What is known about a source that is not there, for whoever can say more: which file the pattern stands in, which line. */
export interface MissingSource {
  readonly path: string;
  /** Index of the ignore pattern that keeps it out although it exists. */
  readonly excludedBy: number | undefined;
  /** Names that do exist and are close. */
  readonly similar: readonly string[];
}

/** The error, with `missing` for callers that hold the ignore file. */
export class SourceNotFound extends BuildError {
  readonly missing: MissingSource;

  constructor(message: string, hint: string | undefined, missing: MissingSource) {
    super("solver/not-found", message, { hint });
    this.missing = missing;
  }
}

/** Says where was looked, whether an ignore pattern is to blame, and what is there under a similar name. */
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
  const similar = await similarNames(view, path, signal);
  const isEmpty = (await view.list(view.tree.root, signal)).children.length === 0;
  // A stage may well be empty, and nothing more can be said of it.
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
        ? `there is ${similar.map((name) => JSON.stringify(printableName(name))).join(", ")}`
        : undefined;
  const why = excludedBy === undefined ? "it does not exist" : "the ignore file excludes it";
  return new SourceNotFound(`Cannot ${purpose} ${shown} from ${view.root}: ${why}`, hint, {
    path,
    excludedBy,
    similar,
  });
}

/** Up to three paths beside the first name that is missing: the closest one, or else what the directory holds. */
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
