import { printableLine } from "../../../lib/core/printable.ts";
import { printableName } from "../../../lib/native/names.ts";
import type { Difference, FileDifference, ImageDifferences } from "./compare-images.ts";

/** Writes differences as lines for people, in sections. */
export function differenceLines({ config, layers, files }: ImageDifferences): readonly string[] {
  const section = (heading: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : [heading, ...lines.map((line) => printableLine(`  ${line}`))];
  return [
    ...section("Configuration", config.map(changed)),
    ...section(
      "Layers",
      layers.map(({ number, before, after, createdBy }) => {
        const [was, is] = [before, after].map((digest) => shown(digest ?? "none"));
        return `${number}: ${was} -> ${is}  ${createdBy}`;
      }),
    ),
    ...section("Files", files.map(fileLine)),
  ];
}

const SIGNS = { added: "+", removed: "-", changed: "~" } as const;

function fileLine({ path, kind, fields }: FileDifference): string {
  const line = `${SIGNS[kind]} /${printableName(path)}`;
  return fields.length === 0 ? line : `${line}: ${fields.map(changed).join(", ")}`;
}

function changed({ name, before, after }: Difference): string {
  return `${name} ${shown(before)} -> ${shown(after)}`;
}

/** Shortens a digest; `(none)` where there is nothing. */
function shown(text: string | undefined): string {
  if (text === undefined || text === "") return "(none)";
  return text.startsWith("sha256:") ? text.slice(7, 19) : text;
}
