import { cleanPath } from "../../lib/core/patterns/clean-path.ts";
import { compileGoPattern, hasWildcards } from "../../lib/core/patterns/go-match.ts";
import { BuildError } from "../../lib/core/errors.ts";
import type { Span } from "../../lib/core/span.ts";
import type { CopyAction, Owner } from "../../solver/graph/op.ts";
import type { Vertex } from "../../solver/graph/vertex.ts";
import type { AddInstruction, CopyContent, CopyInstruction, Word } from "../instructions/instruction.ts";
import { copyIgnoredFile } from "../lint/rules/copy-ignored-file.ts";
import { type Expansion, expandWord } from "../words/expand.ts";
import { shorten } from "../words/operators.ts";
import { parseMode } from "./mode.ts";
import { parseOwner, parseOwnerInEmpty } from "./owner.ts";
import type { ContextSource } from "./resolver.ts";
import { type RemoteSource, readRemote } from "./remote-source.ts";
import { textTime, uniformRemote } from "./uniform-source.ts";
import { isClientTree } from "./sources.ts";
import { type Shared, type StageState, absolutePath, emptyTree, expandIn, record, reportUnset } from "./stage-state.ts";
import { platformPath } from "./windows-path.ts";
import { type StepText, addInternal, addVertex, displayText, nextStepName, stepName } from "./step.ts";

type Instruction = CopyInstruction | AddInstruction;

/** The words of an instruction, with their variables expanded. */
interface Expanded {
  readonly paths: readonly { readonly text: string; readonly remote: RemoteSource | undefined }[];
  readonly destination: string;
  /** Empty: no --chown. */
  readonly chown: string;
  readonly chmod: string;
}

/**
 * Converts COPY and ADD: all sources go into one layer.
 * @throws {BuildError} at the word that is wrong
 */
export function convertCopy(state: StageState, instruction: Instruction, shared: Shared): void {
  const from = contextOf(state, instruction, shared);
  const words = expandWords(state, instruction, shared);
  const createdBy = historyText(instruction, words);
  const shown = displayText(instruction, state.environment, shared);
  const name = nextStepName(state, shared, shown);
  const text: StepText = { name, instruction: shown, span: instruction.span };
  // With --chmod, BuildKit ignores --link: a new mode depends on the file it changes. So do we.
  const isLinked = instruction.link && words.chmod === "";
  const below = isLinked ? undefined : state.tree;
  const sources = [
    ...words.paths.map(({ text: given, remote }, index): Source => {
      if (remote !== undefined)
        return remoteSource(remote, instruction, addVertex(shared, state, { op: remote.op, inputs: [] }, text, "use"));
      const path = platformPath(given, state.platform, instruction.paths[index]?.span);
      checkIgnored(path, from, instruction, shared);
      return { tree: from ?? emptyTree(shared), ...pathSource(path, instruction, from) };
    }),
    ...instruction.contents.map((content) => contentSource(content, state, instruction, shared)),
  ];
  const trees = [...(below === undefined ? [] : [below]), ...sources.map(({ tree }) => tree)];
  const isMerged = isLinked && state.tree !== undefined;
  const inputs = uniqueTrees(isMerged && state.tree !== undefined ? [...trees, state.tree] : trees);
  const place = platformPath(words.destination, state.platform, instruction.destination.span);
  const destination = destinationPath(state, place);
  const owner = ownerOf(words.chown, state, instruction);
  const mode = words.chmod === "" ? undefined : parseMode(words.chmod, instruction.chmod?.span ?? instruction.span);
  const actions = sources.map((source): CopyAction => ({
    kind: "copy",
    input: inputs.findIndex((tree) => tree.digest === source.tree.digest),
    source: source.source,
    wildcard: source.wildcard,
    parents: source.parents,
    unpack: source.unpack,
    keepOwner: source.keepOwner,
    destination,
    owner,
    mode,
    excludes: source.excludes,
    link: isLinked,
  }));
  const under = isMerged ? inputs.findIndex((tree) => tree.digest === state.tree?.digest) : -1;
  const way = under < 0 ? {} : { way: { input: under, path: destination } };
  const copied = addVertex(
    shared,
    state,
    { op: { kind: "file", base: below === undefined ? "scratch" : "input", actions, ...way }, inputs },
    text,
  );
  const merged = {
    op: { kind: "merge" },
    inputs: [...(state.tree === undefined ? [] : [state.tree]), copied],
  } as const;
  state.tree = isMerged
    ? addVertex(shared, state, merged, { ...text, name: stepName(state, shared, `LINK ${shown}`) }, "use")
    : copied;
  record(state, `${createdBy} # buildkit`, copied);
}

function ownerOf(chown: string, state: StageState, { chown: word, link, span }: Instruction): Owner | undefined {
  if (chown === "") return undefined;
  return state.tree === undefined && !link ? parseOwnerInEmpty(chown, word?.span ?? span) : parseOwner(chown);
}

/** The fields that differ from source to source. */
type Source = Pick<CopyAction, "source" | "wildcard" | "parents" | "unpack" | "keepOwner" | "excludes"> & {
  readonly tree: Vertex;
};

/** Finds the tree in which paths are looked up; `undefined` is an empty one. */
function contextOf(state: StageState, instruction: Instruction, shared: Shared): Vertex | undefined {
  const [planned] = shared.plan.sources.get(instruction) ?? [];
  if (planned === undefined) return shared.context;
  const source = shared.states.get(planned);
  if (source !== undefined) return source.tree;
  throw new BuildError(
    "dockerfile/unknown-stage",
    `Cannot copy from stage ${JSON.stringify(planned.label)}: it needs to be defined before current stage ${JSON.stringify(state.planned.label)}`,
    {
      span: instruction.kind === "copy" ? instruction.from?.span : instruction.span,
      hint: "move that stage above this one",
    },
  );
}

/** Adds what a reproducible build asks of a source outside the context. */
function remoteOf(remote: RemoteSource | undefined, { options, epoch }: Shared): RemoteSource | undefined {
  if (remote === undefined || options.reproducible === undefined) return remote;
  return { ...remote, op: uniformRemote(remote.op, epoch) };
}

function expandWords(state: StageState, instruction: Instruction, shared: Shared): Expanded {
  const paths = instruction.paths.map((word) => ({ word, text: expandIn(state, word, instruction, shared) }));
  const destination = expandIn(state, instruction.destination, instruction, shared);
  const chown = instruction.chown === undefined ? "" : expandIn(state, instruction.chown, instruction, shared);
  const chmod = instruction.chmod === undefined ? "" : expandIn(state, instruction.chmod, instruction, shared);
  const checksumWord = instruction.kind === "add" ? instruction.checksum : undefined;
  const checksum = checksumWord === undefined ? "" : expandIn(state, checksumWord, instruction, shared);
  const readPaths = paths.map(({ word, text }) => ({
    text,
    remote: remoteOf(readRemote(text, word.span, instruction, checksum), shared),
  }));
  checkPatterns(
    paths.filter((_, index) => readPaths[index]?.remote === undefined),
    instruction,
  );
  const isCheckable = readPaths.length === 1 && instruction.contents.length === 0;
  if (checksum !== "" && (!isCheckable || readPaths[0]?.remote === undefined)) {
    const why = isCheckable
      ? "checksum requires HTTP(S) or Git sources"
      : "checksum can't be specified for multiple sources";
    throw new BuildError("dockerfile/copy", `Cannot check ${JSON.stringify(checksum)}: ${why}`, {
      span: checksumWord?.span,
    });
  }
  return { paths: readPaths, destination, chown, chmod };
}

/** Refuses a malformed pattern at its place in the Dockerfile, before it is first compared with a file. */
function checkPatterns(
  paths: readonly { readonly word: Word; readonly text: string }[],
  { excludes }: Instruction,
): void {
  const patterns = [
    ...paths.filter(({ text }) => hasWildcards(text)),
    ...excludes.map((word) => ({ word, text: word.text })),
  ];
  for (const { word, text } of patterns) {
    try {
      compileGoPattern(text.replace(/^!/, ""));
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      throw error.at(word.span);
    }
  }
}

/** Writes the instruction as `docker history` shows it: without --from, --link, --exclude and ADD's own flags. */
function historyText(instruction: Instruction, words: Expanded): string {
  let text = instruction.kind === "copy" ? "COPY" : "ADD";
  if (instruction.kind === "copy" && instruction.parents) text += " --parents";
  if (words.chown !== "") text += ` --chown=${words.chown}`;
  if (words.chmod !== "") text += ` --chmod=${words.chmod}`;
  for (const path of words.paths) text += ` ${path.text}`;
  for (const content of instruction.contents) text += ` <<${content.name}`;
  return `${text} ${words.destination}`;
}

function pathSource(path: string, instruction: Instruction, from: Vertex | undefined): Omit<Source, "tree"> {
  const isParents = instruction.kind === "copy" && instruction.parents;
  // The part before the pivot is dropped below the destination. The two parts are cleaned separately to keep the pivot.
  const pivot = isParents ? path.indexOf("/./") : -1;
  const source =
    pivot === -1
      ? relativePath(path)
      : `${relativePath(path.slice(0, pivot))}/./${relativePath(path.slice(pivot + 3))}`;
  const unpack = instruction.kind === "add" && instruction.unpack !== false ? "auto" : "never";
  return {
    source,
    wildcard: hasWildcards(source),
    parents: isParents,
    unpack,
    keepOwner: from === undefined || !isClientTree(from),
    excludes: instruction.excludes.map((exclude) => exclude.text),
  };
}

function remoteSource(remote: RemoteSource, instruction: Instruction, tree: Vertex): Source {
  const unpack =
    instruction.kind === "add" && instruction.unpack === true && remote.op.kind === "http" ? "auto" : "never";
  // Patterns exclude files of a checkout. The one file of a URL is asked for by name, so they do not apply.
  const excludes = remote.op.kind === "git" ? instruction.excludes.map((exclude) => exclude.text) : [];
  return { tree, source: remote.source, wildcard: false, parents: false, unpack, keepOwner: true, excludes };
}

/** Makes a here-document a file of its own in an empty tree. */
function contentSource(content: CopyContent, state: StageState, instruction: Instruction, shared: Shared): Source {
  let { text } = content;
  if (content.expand) {
    const expansion = expandBody(content, state);
    reportUnset(state, expansion.unset, instruction, shared);
    text = expansion.text;
    if (text.length > content.text.length) shared.budget.take(text.length, content.span);
  }
  const tree = addInternal(
    shared,
    {
      op: {
        kind: "file",
        base: "scratch",
        actions: [
          {
            kind: "mkfile",
            path: cleanPath(`/${content.name}`),
            mode: 0o644,
            text,
            owner: undefined,
            timestamp: textTime(shared),
          },
        ],
      },
      inputs: [],
    },
    "preparing inline document",
    content.span,
  );
  return {
    tree,
    source: relativePath(content.name),
    wildcard: false,
    parents: false,
    unpack: "never",
    keepOwner: true,
    excludes: [],
  };
}

/** Limit on the characters read to find the bad line of a here-document. */
const MAX_TRIED = 500_000_000;

/**
 * Expands the body of a here-document.
 * @throws {BuildError} `dockerfile/expansion` at the line that cannot be expanded
 */
function expandBody({ text, bodySpan }: CopyContent, state: StageState): Expansion {
  const expand = (part: string, span: Span): Expansion =>
    expandWord(part, state.environment, { escape: "\\", quotes: "heredoc", span });
  try {
    return expand(text, bodySpan);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    const { source, start, end } = bodySpan;
    const lines = text.split("\n");
    // Each line is tried together with all lines before it, which takes minutes in large bodies.
    if (text.length * lines.length > MAX_TRIED) throw error;
    const blame = ({ message, hint }: BuildError, first: number, last: number): BuildError => {
      const number = start.line + first;
      const from = source.lineStarts[number - 1] ?? start.offset;
      const said = message.replace(
        /^failed to process "(?:[^"\\]|\\.)*"/,
        `failed to process ${JSON.stringify(shorten(lines.slice(first, last + 1).join("\n")))}`,
      );
      const span = source.span(from, Math.min(from + source.line(number).length, end.offset));
      return error.with({ message: said, span, hint });
    };
    // A brace may be closed on a later line. When it never is, the error belongs to the line that opens it.
    let open: number | undefined;
    for (const at of lines.keys()) {
      try {
        expand(lines.slice(0, at + 1).join("\n"), bodySpan);
        open = undefined;
      } catch (early) {
        if (!(early instanceof BuildError)) throw early;
        if (!/missing '[}/]'/.test(early.message)) throw blame(early, open ?? at, at);
        open ??= at;
      }
    }
    throw blame(error, open ?? 0, lines.length - 1);
  }
}

function checkIgnored(path: string, from: Vertex | undefined, instruction: Instruction, shared: Shared): void {
  if (shared.ignored === undefined || from === undefined || from !== shared.context) return;
  const cleaned = cleanPath(path);
  // No pattern names the root itself: it is ignored only where everything is.
  const isRoot = cleaned === "." || cleaned === "/";
  if (isRoot ? !ignoresAll(shared.options.context) : !shared.ignored.matches(cleaned)) return;
  shared.linter.report(copyIgnoredFile, instruction, instruction.kind === "copy" ? "Copy" : "Add", cleaned);
}

function ignoresAll(context: ContextSource): boolean {
  return context.kind === "local" && context.excludes.some((text) => ["*", "**", "**/*"].includes(text));
}

/** Makes a path relative to the tree's root. `..` stops at the root; `.` is the root. */
function relativePath(path: string): string {
  return cleanPath(`/${path}`).slice(1) || ".";
}

/** Resolves the destination. A slash or `.` at the end says that a directory is meant, so it stays. */
function destinationPath(state: StageState, destination: string): string {
  const path = absolutePath(state, destination);
  const isDirectory = destination === "" || /(?:^|\/)\.?$/.test(destination);
  return isDirectory && path !== "/" ? `${path}/` : path;
}

function uniqueTrees(trees: readonly Vertex[]): Vertex[] {
  const unique: Vertex[] = [];
  for (const tree of trees) if (!unique.some((known) => known.digest === tree.digest)) unique.push(tree);
  return unique;
}
