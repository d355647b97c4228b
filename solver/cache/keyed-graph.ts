import { formatPlatform } from "../../lib/core/platform.ts";
import type { Digest } from "../../lib/core/digest.ts";
import { BuildError, unreachable } from "../../lib/core/errors.ts";
import { systemFailure } from "../../lib/core/system-failure.ts";
import { mapLimit } from "../../lib/core/limits.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import type { GitOp, HttpOp, LocalOp, Op } from "../graph/op.ts";
import { commandOf } from "../graph/op-facts.ts";
import { type Graph, metaOf } from "../graph/graph.ts";
import { inputsFirst } from "../graph/order.ts";
import type { Vertex, VertexMeta } from "../graph/vertex.ts";
import type { FoundSource, RemoteSource } from "../ports.ts";
import type { NamedSelection } from "../select/name-selection.ts";
import { type LocalUse, refuseEmptyPatterns } from "./empty-patterns.ts";
import { definitionText, ISOLATION, keyOfText, ownParts, OwnTexts, shownValue, type WeakIsolation } from "./key.ts";
import { type InputUse, usesOf } from "./uses.ts";

/** A vertex with its key: all that is known of it before anything runs. */
export class KeyedVertex {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  readonly definitionKey: Digest;
  /**
   * The key that the same step has where the rights of files are enforced, for a build in which they are not: results of
   * such builds are good here too, and never the other way round.
   */
  readonly strongerKey: Digest | undefined;
  readonly uses: readonly InputUse[];
  /** What is used of local directories, by the name of the part. */
  readonly selected: ReadonlyMap<string, NamedSelection>;
  /** Only for `http` and `git`. */
  readonly found: FoundSource | undefined;
  readonly #inputParts: readonly KeyPart[];
  #parts: readonly KeyPart[] | undefined;

  constructor(
    vertex: Vertex,
    meta: VertexMeta,
    definitionKey: Digest,
    more: Pick<KeyedVertex, "strongerKey" | "uses" | "selected" | "found"> & { readonly parts: readonly KeyPart[] },
  ) {
    this.vertex = vertex;
    this.meta = meta;
    this.definitionKey = definitionKey;
    this.strongerKey = more.strongerKey;
    this.uses = more.uses;
    this.selected = more.selected;
    this.found = more.found;
    this.#inputParts = more.parts;
  }

  /** Without `content` parts and without listings, which cost too much to make for steps that hit. */
  get parts(): readonly KeyPart[] {
    return (this.#parts ??= [...ownParts(this.vertex.op, this.meta.argNames), ...this.#inputParts]);
  }

  /** What makes two steps "the same one" for explaining a miss. */
  get site(): string {
    const { op } = this.vertex;
    const platform = op.kind === "exec" ? `${formatPlatform(op.platform)} ` : "";
    return `${platform}${this.meta.stage ?? "-"} ${this.meta.instruction}`;
  }
}

export interface KeyingDeps {
  /** Isolation of commands; `undefined` where the rights of files are enforced. */
  readonly isolation: WeakIsolation | undefined;
  readonly http: RemoteSource<HttpOp>;
  readonly git: RemoteSource<GitOp>;
  /** Reads what a use takes from the local directory that is its input. */
  readonly selectLocal: (
    use: InputUse,
    input: LocalOp,
    look: { readonly reading: "known" | "again" },
    signal: AbortSignal,
  ) => Promise<NamedSelection>;
  /** See `SolveOptions`. */
  readonly wholeContexts: ReadonlySet<string>;
  /** Told of an instruction that does nothing. */
  readonly warn: (meta: VertexMeta, message: string) => void;
}

/** Contexts are mostly read once each, and remote sources mostly wait. */
const CONCURRENT_READS = 8;

/**
 * The definition keys of everything the targets need, inputs first. Local directories are looked at and remote sources
 * asked what they hold; nothing else is touched.
 */
export async function keyGraph(graph: Graph, on: KeyingDeps, signal: AbortSignal): Promise<Map<Digest, KeyedVertex>> {
  const order = inputsFirst(graph.targets);
  const outside = await readOutside(order, graph, on, signal);
  const texts = new OwnTexts();
  const keyed = new Map<Digest, KeyedVertex>();
  for (const vertex of order) {
    const meta = metaOf(graph, vertex);
    const { selected = NO_SELECTIONS, found } = outside.get(vertex.digest) ?? {};
    keyed.set(vertex.digest, keyVertex({ vertex, meta, selected, found }, { keyed, texts, isolation: on.isolation }));
  }
  return keyed;
}

const NO_SELECTIONS: ReadonlyMap<string, NamedSelection> = new Map();

/** Keys one vertex, whose inputs have their keys. */
function keyVertex(
  known: Pick<KeyedVertex, "vertex" | "meta" | "selected" | "found">,
  on: {
    readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
    readonly texts: OwnTexts;
    readonly isolation: WeakIsolation | undefined;
  },
): KeyedVertex {
  const { vertex, meta, selected, found } = known;
  const { keyed, texts, isolation } = on;
  const uses = usesOf(vertex.op, vertex.inputs.length);
  const parts: KeyPart[] = [...(found?.parts ?? [])];
  const strongerKeys = new Map<KeyPart, string>();
  if (isolation !== undefined && commandOf(vertex.op) !== undefined) parts.push({ name: ISOLATION, value: isolation });
  for (const use of uses) {
    const input = vertex.inputs[use.input];
    const selection = selected.get(use.part);
    if (selection !== undefined) {
      parts.push({ name: use.part, value: selection.digest });
      continue;
    }
    const inputKey = input === undefined ? undefined : keyed.get(input.digest);
    if (input === undefined || inputKey === undefined) throw new Error(`Input ${use.input} is missing`);
    const part: KeyPart = { name: use.part, value: inputValue(use, inputKey.definitionKey), basis: "definition" };
    parts.push(part);
    strongerKeys.set(part, inputValue(use, inputKey.strongerKey ?? inputKey.definitionKey));
    if (use.kind === "parent" && input.op.kind === "image") {
      parts.push({ name: "FROM", value: input.op.ref, basis: "note" });
    }
  }
  const own = texts.of(vertex.op);
  const stronger = isolation === undefined ? undefined : parts.flatMap((part) => strongerPart(part, strongerKeys));
  return new KeyedVertex(vertex, meta, keyOfText(own + definitionText(parts)), {
    parts,
    strongerKey: stronger === undefined ? undefined : keyOfText(own + definitionText(stronger)),
    uses,
    selected,
    found,
  });
}

/** The same vertex with other files in local directories. */
export function reselect(
  changed: KeyedVertex,
  selected: ReadonlyMap<string, NamedSelection>,
  on: { readonly keyed: ReadonlyMap<Digest, KeyedVertex>; readonly isolation: WeakIsolation | undefined },
): KeyedVertex {
  const { vertex, meta, found } = changed;
  const all = new Map([...changed.selected, ...selected]);
  return keyVertex({ vertex, meta, found, selected: all }, { ...on, texts: new OwnTexts() });
}

/** Gives a vertex another key, and with it all that use what it makes. `keyed` has inputs before users. */
export function rekey(
  keyed: Map<Digest, KeyedVertex>,
  changed: KeyedVertex,
  isolation: WeakIsolation | undefined,
): void {
  const touched = new Set([changed.vertex.digest]);
  const texts = new OwnTexts();
  keyed.set(changed.vertex.digest, changed);
  for (const [digest, user] of keyed) {
    if (!user.vertex.inputs.some((input) => touched.has(input.digest))) continue;
    touched.add(digest);
    keyed.set(digest, keyVertex(user, { keyed, texts, isolation }));
  }
}

/** The part as it is where the rights of files are enforced. */
function strongerPart(part: KeyPart, keys: ReadonlyMap<KeyPart, string>): KeyPart[] {
  return part.name === ISOLATION ? [] : [{ ...part, value: keys.get(part) ?? part.value }];
}

/** By its own key and, since that says nothing of it, where in the input the use looks. */
function inputValue(use: InputUse, inputKey: Digest): string {
  switch (use.kind) {
    case "copy":
      return shownValue(`${inputKey} ${use.action.source}`);
    case "path":
      return shownValue(`${inputKey} ${use.source}`);
    case "parent":
    case "way":
    case "whole":
      return inputKey;
    default:
      return unreachable(use);
  }
}

/** Finds the state of a source whose key is made of that: a commit, a digest. */
function finderOf(
  op: Op,
  again: boolean,
  on: Pick<KeyingDeps, "git" | "http">,
): ((signal: AbortSignal) => Promise<FoundSource>) | undefined {
  switch (op.kind) {
    case "http":
      return async (signal) => on.http.find({ ...op, again }, signal);
    case "git":
      return async (signal) => on.git.find(op, signal);
    case "image":
    case "local":
    case "exec":
    case "file":
    case "merge":
    case "diff":
      return undefined;
    default:
      return unreachable(op);
  }
}

interface Outside {
  readonly selected: Map<string, NamedSelection>;
  found: FoundSource | undefined;
}

async function readOutside(
  order: readonly Vertex[],
  graph: Graph,
  on: KeyingDeps,
  signal: AbortSignal,
): Promise<ReadonlyMap<Digest, Outside>> {
  const outside = new Map<Digest, Outside>();
  // Sources are steps of nobody: those are renewed that a step takes which is not to come from the cache.
  const users = order.filter((vertex) => metaOf(graph, vertex).cache === "skip");
  const renewed = new Set(users.flatMap(({ inputs }) => inputs.map(({ digest }) => digest)));
  const reads: ((readSignal: AbortSignal) => Promise<void>)[] = [];
  const uses: (Omit<LocalUse, "named"> & { named: NamedSelection | undefined })[] = [];
  for (const vertex of order) {
    const { op } = vertex;
    const entry: Outside = { selected: new Map(), found: undefined };
    const before = reads.length;
    const find = finderOf(op, renewed.has(vertex.digest), on);
    if (find !== undefined) reads.push(async (s) => void (entry.found = await find(s)));
    if (vertex.inputs.some((input) => input.op.kind === "local")) {
      for (const use of usesOf(op, vertex.inputs.length)) {
        const input = vertex.inputs[use.input]?.op;
        if (input?.kind !== "local") continue;
        if (use.kind !== "copy" && use.kind !== "path") throw new Error("A local directory is used as a whole layer");
        const meta = metaOf(graph, vertex);
        const local: (typeof uses)[number] = { vertex, meta, use, input, named: undefined };
        uses.push(local);
        // A step that is not to come from the cache reads its files, whatever is remembered of them.
        const look = { reading: meta.cache === "skip" ? "again" : "known" } as const;
        reads.push(async (s) => {
          local.named = await on.selectLocal(use, input, look, s);
          entry.selected.set(use.part, local.named);
        });
      }
    }
    if (reads.length === before) continue;
    outside.set(vertex.digest, entry);
    for (let at = before; at < reads.length; at += 1) reads[at] = placed(reads[at], graph, vertex);
  }
  await mapLimit(reads, CONCURRENT_READS, signal, (read, s) => read(s));
  const read = uses.flatMap(({ named, ...use }) => (named === undefined ? [] : [{ ...use, named }]));
  if (read.some(({ named }) => named.isEmpty)) refuseEmptyPatterns(read, on);
  return outside;
}

/** A failure that names no place of its own gets that of the instruction. */
function placed(
  read: ((signal: AbortSignal) => Promise<void>) | undefined,
  graph: Graph,
  vertex: Vertex,
): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    try {
      await read?.(signal);
    } catch (error) {
      throw withSpan(systemFailure("read what this step takes", error), metaOf(graph, vertex));
    }
  };
}

/** The same error with the instruction's place, where it has none. */
export function withSpan(error: unknown, meta: VertexMeta): unknown {
  if (!(error instanceof BuildError) || error.span !== undefined || meta.span === undefined) return error;
  const detail = meta.trigger === undefined ? error.detail : [meta.trigger, error.detail ?? ""].join("\n").trimEnd();
  return error.with({ span: meta.span, detail });
}
