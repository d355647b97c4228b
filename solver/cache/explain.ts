import type { Digest } from "../../src/core/digest.ts";
import type { KeyPart } from "../../src/store/model.ts";
import { changedFiles, type FileChange } from "./changed-files.ts";
import { ISOLATION } from "./key.ts";

/** Why a step had to run (or was looked at by content), as data. */
export type MissReason =
  | { readonly kind: "no-cache" }
  /** No step of this stage and instruction was ever recorded. */
  | { readonly kind: "never-built" }
  /** Exactly this was built, and its record has been collected since. */
  | { readonly kind: "pruned" }
  /** Against the nearest earlier record of the same stage and instruction. */
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
  /** `moved`: the same name, another digest. */
  | { readonly kind: "base"; readonly ref: string; readonly was: string | undefined }
  /** The step before is another one, or gave another result. `step`: how it is displayed. */
  | { readonly kind: "input"; readonly name: string; readonly step: string };

/** How a listing blob is had; `undefined` when it has been collected. */
export type ReadListing = (digest: Digest) => string | undefined;

/** File changes shown by name; the rest is counted. */
const SHOWN_FILES = 5;

/**
 * What makes a miss: the parts that differ from the nearest of the earlier records of the same site.
 * @param earlier newest first.
 * @param stepOf how the step behind an input part (`parent`, `input 1 /app`) is displayed.
 */
export function explainMiss(
  parts: readonly KeyPart[],
  earlier: readonly { readonly parts: readonly KeyPart[] }[],
  on: { readonly wasPruned: boolean; readonly stepOf: (name: string) => string; readonly readListing: ReadListing },
): MissReason {
  if (on.wasPruned) return { kind: "pruned" };
  const nearest = nearestOf(parts, earlier);
  if (nearest === undefined) return { kind: "never-built" };
  return { kind: "changed", changes: changesBetween(nearest.parts, parts, on) };
}

/** The reason in one line, without the step's name: `src/a.ts (content), run.sh (mode 0664 -> 0644)`. */
export function missText(reason: MissReason): string {
  switch (reason.kind) {
    case "no-cache":
      return "--no-cache";
    case "never-built":
      return "never built here";
    case "pruned":
      return "cache was pruned";
    case "changed":
      return reason.changes.length === 0 ? "an earlier step ran again" : reason.changes.map(changeText).join(", ");
    default:
      return reason satisfies never;
  }
}

function changeText(change: PartChange): string {
  switch (change.kind) {
    case "value": {
      if (change.name === ISOLATION) return `isolation ${change.from ?? "whole"} -> ${change.to ?? "whole"}`;
      const name = shownName(change.name);
      if (change.from === undefined) return `${name} added`;
      if (change.to === undefined) return `${name} removed`;
      return `${name} changed`;
    }
    case "order":
      return `order of the ${change.what} changed`;
    case "files": {
      const shown = change.files.map((file) => `${file.path} (${file.what.join(", ")})`);
      const more = change.total - change.files.length;
      if (shown.length === 0) return `${change.name} changed`;
      return more > 0 ? `${shown.join(", ")} and ${more} more` : shown.join(", ");
    }
    case "base":
      return change.was === change.ref
        ? `FROM ${asTyped(change.ref)}: digest moved`
        : `FROM ${change.was === undefined ? "another step" : asTyped(change.was)} -> ${asTyped(change.ref)}`;
    case "input":
      return `after ${change.step}`;
    default:
      return change satisfies never;
  }
}

/** Parts of file operations are numbered; a line of a Dockerfile says what they do. */
function shownName(part: string): string {
  const [, kind] = /^(copy|mkdir|mkfile|rm) \d+$/.exec(part) ?? [];
  switch (kind) {
    case "copy":
      return "destination or flags";
    case "mkdir":
      return "path, owner or mode of the directory";
    case "mkfile":
      return "text, owner or mode of the file";
    case "rm":
      return "what is removed";
    default:
      return part;
  }
}

/** A reference without what people leave out. */
function asTyped(ref: string): string {
  return ref.replace(/^docker\.io\/(?:library\/)?/, "").replace(/:latest$/, "");
}

/** The record of the same site that has most in common with the parts. */
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
  on: { readonly stepOf: (name: string) => string; readonly readListing: ReadListing },
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
    if (part.basis === "definition") {
      const contents = contentsOf(part.name);
      // Another way to the same files is no reason.
      if (contents.before !== undefined && contents.before.value === contents.after?.value) continue;
      if (contents.before?.listing !== undefined && contents.after?.listing !== undefined) {
        changes.push(filesChange(part.name, contents.before.listing, contents.after.listing, on.readListing));
        continue;
      }
      const ref = part.name === "parent" ? noteOf(after) : undefined;
      changes.push(
        ref === undefined
          ? { kind: "input", name: part.name, step: on.stepOf(part.name) }
          : { kind: "base", ref, was: noteOf(before) },
      );
    } else if (part.listing !== undefined && was?.listing !== undefined) {
      changes.push(filesChange(part.name, was.listing, part.listing, on.readListing));
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

function filesChange(name: string, before: Digest, after: Digest, read: ReadListing): PartChange {
  const files = changedFiles(read(before), read(after));
  return { kind: "files", name, files: files.slice(0, SHOWN_FILES), total: files.length };
}

function variablesOf(parts: readonly KeyPart[]): string {
  return parts.flatMap((part) => (/^(?:ENV|ARG) /.test(part.name) ? [part.name.slice(4)] : [])).join("\n");
}
