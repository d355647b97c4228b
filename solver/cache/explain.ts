import type { Digest } from "../../lib/core/digest.ts";
import type { KeyPart } from "../../lib/store/model.ts";
import { changedFiles, type FileChange } from "./changed-files.ts";

/** The reason why a step had to run (or was looked up by content), as data. */
export type MissReason =
  | { readonly kind: "no-cache" }
  /** No step of this stage and instruction was ever recorded. */
  | { readonly kind: "never-built" }
  /** The same step was built before, and its record has been collected since. */
  | { readonly kind: "pruned" }
  /** Changes since the nearest earlier record of the same stage and instruction. */
  | { readonly kind: "changed"; readonly changes: readonly PartChange[] };

export type PartChange =
  | {
      readonly kind: "value";
      readonly name: string;
      readonly from: string | undefined;
      readonly to: string | undefined;
    }
  | { readonly kind: "order"; readonly what: "environment" }
  | { readonly kind: "files"; readonly name: string; readonly files: readonly FileChange[]; readonly total: number }
  /** The instruction itself changed: the words that differ. */
  | { readonly kind: "text"; readonly from: string; readonly to: string }
  /** The source of the files is of another kind, or in another state (a commit, the name of an image). */
  | { readonly kind: "source"; readonly name: string; readonly was: FileSource; readonly now: FileSource }
  /** The same name has another digest. `undefined`: before, the parent was not a base image. */
  | { readonly kind: "base"; readonly ref: string; readonly was: string | undefined }
  /** The previous step is another one, or gave another result. `step` is its display name. */
  | { readonly kind: "input"; readonly name: string; readonly step: string };

/** A source, `local`, `image`, `git`, `http` or `stage`, and its state. */
export interface FileSource {
  readonly kind: string;
  readonly state: string;
}

/** Reads a listing blob; `undefined` when it has been collected. */
export type ReadListing = (digest: Digest) => string | undefined;

/** Limit of file changes listed by name; the rest is counted. */
const SHOWN_FILES = 5;

/**
 * Explains a miss: finds the parts that differ from the nearest of the earlier records of the same site.
 * @param earlier newest first
 */
export function explainMiss(
  parts: readonly KeyPart[],
  earlier: readonly { readonly parts: readonly KeyPart[] }[],
  deps: { readonly wasPruned: boolean; readonly stepOf: (name: string) => string; readonly readListing: ReadListing },
): MissReason {
  if (deps.wasPruned) return { kind: "pruned" };
  const nearest = nearestOf(parts, earlier);
  if (nearest === undefined) return { kind: "never-built" };
  return { kind: "changed", changes: changesBetween(nearest.parts, parts, deps) };
}

/** Finds the record of the same site that has most in common with the parts. */
export function nearestOf<T extends { readonly parts: readonly KeyPart[] }>(
  parts: readonly KeyPart[],
  earlier: readonly T[],
): T | undefined {
  const values = new Map(parts.filter(isKeyed).map((part) => [part.name, part.value]));
  let best: T | undefined;
  let bestScore = -1;
  for (const record of earlier) {
    const score = record.parts.filter((part) => isKeyed(part) && values.get(part.name) === part.value).length;
    if (score > bestScore) [best, bestScore] = [record, score];
  }
  return best;
}

function isKeyed(part: KeyPart): boolean {
  return part.basis === undefined || part.basis === "definition";
}

function changesBetween(
  before: readonly KeyPart[],
  after: readonly KeyPart[],
  deps: { readonly stepOf: (name: string) => string; readonly readListing: ReadListing },
): PartChange[] {
  const old = new Map(before.filter(isKeyed).map((part) => [part.name, part]));
  const now = new Map(after.filter(isKeyed).map((part) => [part.name, part]));
  const noteOf = (parts: readonly KeyPart[]): string | undefined =>
    parts.find((part) => part.basis === "note" && part.name === "FROM")?.value;
  const contentsOf = (name: string): { readonly before: KeyPart | undefined; readonly after: KeyPart | undefined } => {
    const isContents = (part: KeyPart): boolean => part.basis === "content" && part.name === name;
    return { before: before.find(isContents), after: after.find(isContents) };
  };
  const changes: PartChange[] = [];
  for (const part of now.values()) {
    const was = old.get(part.name);
    if (was?.value === part.value) continue;
    const source = sourceChange(part.name, before, after);
    if (source !== undefined) {
      changes.push(source);
      if (source.was.kind !== source.now.kind) continue;
    }
    if (part.basis === "definition") {
      const contents = contentsOf(part.name);
      // The same files through another source are no reason.
      if (contents.before !== undefined && contents.before.value === contents.after?.value) continue;
      if (contents.before?.listing !== undefined && contents.after?.listing !== undefined) {
        changes.push(filesChange(part.name, contents.before.listing, contents.after.listing, deps.readListing));
        continue;
      }
      if (source !== undefined) continue;
      const ref = part.name === "parent" ? noteOf(after) : undefined;
      changes.push(
        ref === undefined
          ? { kind: "input", name: part.name, step: deps.stepOf(part.name) }
          : { kind: "base", ref, was: noteOf(before) },
      );
    } else if (part.listing !== undefined && was?.listing !== undefined) {
      changes.push(filesChange(part.name, was.listing, part.listing, deps.readListing));
    } else {
      changes.push({ kind: "value", name: part.name, from: was?.value, to: part.value });
    }
  }
  for (const part of old.values()) {
    if (!now.has(part.name)) changes.push({ kind: "value", name: part.name, from: part.value, to: undefined });
  }
  if (changes.length === 0 && variablesOf(before) !== variablesOf(after)) {
    changes.push({ kind: "order", what: "environment" });
  }
  return changes;
}

/** Makes the note of a record that names the source of a part's files. */
export function sourceNote(part: string, { kind, state }: FileSource): KeyPart {
  return { name: `source of ${part}`, value: `${kind} ${state}`, basis: "note" };
}

function sourceChange(
  part: string,
  before: readonly KeyPart[],
  after: readonly KeyPart[],
): Extract<PartChange, { readonly kind: "source" }> | undefined {
  const [was, now] = [before, after].map((parts): FileSource | undefined => {
    const note = parts.find(({ name, basis }) => basis === "note" && name === `source of ${part}`)?.value;
    const space = note?.indexOf(" ") ?? -1;
    return note === undefined ? undefined : { kind: note.slice(0, space), state: note.slice(space + 1) };
  });
  if (was === undefined || now === undefined) return undefined;
  const isTold = was.kind !== now.kind || was.state !== now.state || now.kind === "image";
  return isTold ? { kind: "source", name: part, was, now } : undefined;
}

/** Finds the words that differ between two similar instructions; `undefined` for dissimilar ones. */
export function textChange(before: string, after: string): Extract<PartChange, { readonly kind: "text" }> | undefined {
  const [old, now] = [before, after].map((text) => text.split(/\s+/));
  if (old === undefined || now === undefined) return undefined;
  const least = Math.min(old.length, now.length);
  let first = 0;
  while (first < least && old[first] === now[first]) first += 1;
  let last = 0;
  while (last < least - first && old.at(-1 - last) === now.at(-1 - last)) last += 1;
  if (2 * (first + last) < Math.max(old.length, now.length)) return undefined;
  const [was, is] = [old, now].map((words) => words.slice(first, words.length - last).join(" "));
  return { kind: "text", from: was ?? "", to: is ?? "" };
}

function filesChange(name: string, before: Digest, after: Digest, read: ReadListing): PartChange {
  const files = changedFiles(read(before), read(after));
  return { kind: "files", name, files: files.slice(0, SHOWN_FILES), total: files.length };
}

function variablesOf(parts: readonly KeyPart[]): string {
  return parts.flatMap((part) => (/^(?:ENV|ARG) /.test(part.name) ? [part.name.slice(4)] : [])).join("\n");
}
