import { type Directive, MOUNT_ATTRIBUTES } from "./plan-writer.ts";
import type { Plan } from "./plan.ts";

/**
 * Writes a plan for people: one directive a line, as kiln-runtime carries them out, and the mount points of each stub layer.
 * Values of environment variables and the bytes of secrets are left out.
 */
export function describePlan({ directives, stubLayers }: Plan): string {
  const lines = directives.map((directive) => [directive.name, ...argumentsOf(directive)].join(" "));
  for (const { path, points } of stubLayers) {
    lines.push(`stub-layer ${quote(path)}`, ...points.map(({ target, kind }) => `  ${kind}: ${quote(target)}`));
  }
  return lines.map((line) => `${line}\n`).join("");
}

/** Positions (from 0) of values that are flags of mounts, or a mode; as numbers they would say little. */
const FLAGS: Readonly<Record<string, number>> = {
  ...{ filesystem: 3, "tree-overlay": 3, "tree-directory": 1, tree: 2 },
  ...{ bind: 2, tmpfs: 2, file: 4, device: 5 },
};
const MODES: Readonly<Record<string, number>> = { file: 1, device: 1 };

function argumentsOf({ name, values, data, isPublicText }: Directive): string[] {
  if (name === "env") return values.map((entry) => `${quote(String(entry).split("=", 1)[0] ?? "")}=...`);
  const words = values.map((value, index) => {
    if (FLAGS[name] === index) return flagNames(Number(value));
    return MODES[name] === index ? `0${Number(value).toString(8)}` : quote(String(value));
  });
  if (data === undefined) return words;
  return [...words, isPublicText === true ? JSON.stringify(Buffer.from(data).toString()) : `(${data.length} bytes)`];
}

/** `[readOnly,noSuid]`. */
function flagNames(flags: number): string {
  const names = Object.entries(MOUNT_ATTRIBUTES).filter(([, flag]) => (flags & flag) !== 0);
  return `[${names.map(([name]) => name).join(",")}]`;
}

/** Leaves plain words as they are; others, the empty one among them, are quoted. */
function quote(word: string): string {
  return /^[\w./:=,@%+-]+$/.test(word) ? word : JSON.stringify(word);
}
