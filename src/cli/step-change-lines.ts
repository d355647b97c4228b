import { printableLine } from "../../lib/core/printable.ts";
import { printableName } from "../../lib/native/names.ts";
import type { Difference } from "../engine/look/compare-images.ts";
import type { StepChange } from "../engine/look/step-changes.ts";
import { formatBytes } from "../progress/step-book.ts";

const SIGNS = { added: "A", modified: "M", deleted: "D" } as const;

/** Writes the changes of a step: a letter, the path, the size, and what else differs; then their sums. */
export function changeLines(changes: readonly StepChange[]): readonly string[] {
  const count = (kind: StepChange["kind"]): number => changes.filter((change) => change.kind === kind).length;
  const bytes = changes.reduce((sum, change) => sum + (change.sizeAfter ?? 0) - (change.sizeBefore ?? 0), 0);
  const sum = `${count("added")} added, ${count("modified")} modified, ${count("deleted")} deleted`;
  const more = bytes < 0 ? `-${formatBytes(-bytes)}` : `+${formatBytes(bytes)}`;
  return [...changes.map(changeLine), `${sum}; ${more}`];
}

function changeLine({ path, kind, isDirectory, sizeBefore, sizeAfter, fields }: StepChange): string {
  const name = `${SIGNS[kind]} /${printableName(path)}${isDirectory ? "/" : ""}`;
  const facts = [
    ...sizeText(kind === "added" ? undefined : sizeBefore, kind === "deleted" ? undefined : sizeAfter),
    ...fieldTexts(fields),
  ];
  return printableLine(facts.length === 0 ? name : `${name}  ${facts.join(", ")}`);
}

function sizeText(before: number | undefined, after: number | undefined): readonly string[] {
  if (before !== undefined && after !== undefined) {
    return before === after ? [] : [`${formatBytes(before)} -> ${formatBytes(after)}`];
  }
  const size = before ?? after;
  return size === undefined ? [] : [formatBytes(size)];
}

/** Names what differs beside the size. A new time goes with new content, and is told where it is all there is. */
function fieldTexts(fields: readonly Difference[]): readonly string[] {
  const told = fields.filter(({ name }) => name !== "size" && name !== "mtime" && name !== "content");
  const hasContent = fields.some(({ name }) => name === "content" || name === "size");
  const isTimeOnly = fields.length > 0 && fields.every(({ name }) => name === "mtime");
  return [
    ...(hasContent && !fields.some(({ name }) => name === "size") ? ["content"] : []),
    ...told.map(({ name, before, after }) => `${name} ${before || "(none)"} -> ${after || "(none)"}`),
    ...(isTimeOnly ? ["time only"] : []),
  ];
}
