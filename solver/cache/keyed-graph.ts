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
import type { DigestedSelection } from "../select/digest-selection.ts";
import { type LocalUse, refuseEmptyPatterns } from "./empty-patterns.ts";
import { definitionText, ISOLATION, keyOfText, ownParts, OwnTexts, shownValue, type WeakIsolation } from "./key.ts";
import { type InputUse, usesOf } from "./uses.ts";

/** A vertex with its key and other facts that are known before anything runs. */
export class KeyedVertex {
  readonly vertex: Vertex;
  readonly meta: VertexMeta;
  readonly definitionKey: Digest;
  /**
   * The key of the same step under full isolation, for a build with weak isolation: results of full isolation are good
   * there too, but not the other way round.
   */
  readonly strongerKey: Digest | undefined;
  readonly uses: readonly InputUse[];
  /** Selections from local directories, by the name of the part. */
  readonly selected: ReadonlyMap<string, DigestedSelection>;
  /** State of the source; only for `http` and `git`. */
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

  /** Lists the parts, without `content` parts and listings, which would cost too much for steps that hit. */
  get parts(): readonly KeyPart[] {
    return (this.#parts ??= [...ownParts(this.vertex.op, this.meta.argNames), ...this.#inputParts]);
  }

  /** Returns the identity of a step for explaining a miss. */
  get site(): string {
    const { op } = this.vertex;
    const platform = op.kind === "exec" ? `${formatPlatform(op.platform)} ` : "";
    return `${platform}${this.meta.stage ?? "-"} ${this.meta.instruction}`;
  }
}

export interface KeyingDeps {
  /** Isolation of commands; `undefined` for full isolation. */
  readonly isolation: WeakIsolation | undefined;
  readonly http: RemoteSource<HttpOp>;
  readonly git: RemoteSource<GitOp>;
  /** Selects the files that a use takes from its input, a local directory. */
  readonly selectLocal: (
    use: InputUse,
    input: LocalOp,
    look: { readonly reading: "known" | "again" },
    signal: AbortSignal,
  ) => Promise<DigestedSelection>;
  /** See `SolveOptions`. */
  readonly wholeContexts: ReadonlySet<string>;
  /** Reports an instruction that does nothing. */
  readonly warn: (meta: VertexMeta, message: string) => void;
}

/** Most contexts are read once each, and remote sources mostly wait. */
const CONCURRENT_READS = 8;

/**
 * Computes the definition keys of all vertices that the targets need, inputs first. It scans local directories and asks
 * remote sources for their state, and touches nothing else.
 */
export async function keyGraph(graph: Graph, deps: KeyingDeps, signal: AbortSignal): Promise<Map<Digest, KeyedVertex>> {
  const order = inputsFirst(graph.targets);
  const outside = await readOutside(order, graph, deps, signal);
  const texts = new OwnTexts();
  const keyed = new Map<Digest, KeyedVertex>();
  for (const vertex of order) {
    const meta = metaOf(graph, vertex);
    const { selected = NO_SELECTIONS, found } = outside.get(vertex.digest) ?? {};
    keyed.set(vertex.digest, keyVertex({ vertex, meta, selected, found }, { keyed, texts, isolation: deps.isolation }));
  }
  return keyed;
}

const NO_SELECTIONS: ReadonlyMap<string, DigestedSelection> = new Map();

/** Keys one vertex, after its inputs. */
function keyVertex(
  known: Pick<KeyedVertex, "vertex" | "meta" | "selected" | "found">,
  deps: {
    readonly keyed: ReadonlyMap<Digest, KeyedVertex>;
    readonly texts: OwnTexts;
    readonly isolation: WeakIsolation | undefined;
  },
): KeyedVertex {
  const { vertex, meta, selected, found } = known;
  const { keyed, texts, isolation } = deps;
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

/** Makes the same vertex with other files from local directories. */
export function reselect(
  changed: KeyedVertex,
  selected: ReadonlyMap<string, DigestedSelection>,
  deps: { readonly keyed: ReadonlyMap<Digest, KeyedVertex>; readonly isolation: WeakIsolation | undefined },
): KeyedVertex {
  const { vertex, meta, found } = changed;
  const all = new Map([...changed.selected, ...selected]);
  return keyVertex({ vertex, meta, found, selected: all }, { ...deps, texts: new OwnTexts() });
}

/** Changes the key of a vertex, and the keys of all vertices that use its result. `keyed` has inputs before users. */
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

/** Returns the same part under full isolation. */
function strongerPart(part: KeyPart, keys: ReadonlyMap<KeyPart, string>): KeyPart[] {
  return part.name === ISOLATION ? [] : [{ ...part, value: keys.get(part) ?? part.value }];
}

/** Combines the input's own key with the place of the use in it, because the key does not contain that. */
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

/** Finds the state of a source, a commit or a digest, from which its key is made. */
function finderOf(
  op: Op,
  again: boolean,
  deps: Pick<KeyingDeps, "git" | "http">,
): ((signal: AbortSignal) => Promise<FoundSource>) | undefined {
  switch (op.kind) {
    case "http":
      return async (signal) => deps.http.find({ ...op, again }, signal);
    case "git":
      return async (signal) => deps.git.find(op, signal);
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
  readonly selected: Map<string, DigestedSelection>;
  found: FoundSource | undefined;
}

async function readOutside(
  order: readonly Vertex[],
  graph: Graph,
  deps: KeyingDeps,
  signal: AbortSignal,
): Promise<ReadonlyMap<Digest, Outside>> {
  const outside = new Map<Digest, Outside>();
  // `--no-cache` names steps, not sources: a source is asked again if a step that skips the cache uses it.
  const users = order.filter((vertex) => metaOf(graph, vertex).cache === "skip");
  const renewed = new Set(users.flatMap(({ inputs }) => inputs.map(({ digest }) => digest)));
  const reads: ((readSignal: AbortSignal) => Promise<void>)[] = [];
  const uses: (Omit<LocalUse, "named"> & { named: DigestedSelection | undefined })[] = [];
  for (const vertex of order) {
    const { op } = vertex;
    const entry: Outside = { selected: new Map(), found: undefined };
    const before = reads.length;
    const find = finderOf(op, renewed.has(vertex.digest), deps);
    if (find !== undefined) reads.push(async (s) => void (entry.found = await find(s)));
    if (vertex.inputs.some((input) => input.op.kind === "local")) {
      for (const use of usesOf(op, vertex.inputs.length)) {
        const input = vertex.inputs[use.input]?.op;
        if (input?.kind !== "local") continue;
        if (use.kind !== "copy" && use.kind !== "path") throw new Error("A local directory is used as a whole layer");
        const meta = metaOf(graph, vertex);
        const local: (typeof uses)[number] = { vertex, meta, use, input, named: undefined };
        uses.push(local);
        // A step that skips the cache reads its files again.
        const look = { reading: meta.cache === "skip" ? "again" : "known" } as const;
        reads.push(async (s) => {
          local.named = await deps.selectLocal(use, input, look, s);
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
  if (read.some(({ named }) => named.isEmpty)) refuseEmptyPatterns(read, deps);
  return outside;
}

/** Adds the instruction's place to a failure without one. */
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

/** Adds the instruction's place to an error without one. */
export function withSpan(error: unknown, meta: VertexMeta): unknown {
  if (!(error instanceof BuildError) || error.span !== undefined || meta.span === undefined) return error;
  const detail = meta.trigger === undefined ? error.detail : [meta.trigger, error.detail ?? ""].join("\n").trimEnd();
  return error.with({ span: meta.span, detail });
}
