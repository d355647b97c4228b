import type { Json } from "../../lib/core/json.ts";
import type { Dockerfile } from "../instructions/dockerfile.ts";
import { locationJson } from "../location-json.ts";
import { table } from "./outline.ts";

/** Writes the answer to `--call=targets,format=json` as BuildKit's `frontend.targets` does. */
export function targetsJson(dockerfile: Dockerfile): Json {
  return {
    targets: dockerfile.stages.map(({ name, from, index }) => ({
      name,
      default: index === dockerfile.stages.length - 1 || undefined,
      description: from.description,
      base: from.base.text,
      platform: from.platform?.text || undefined,
      location: locationJson(from.span),
    })),
    sources: [Buffer.from(dockerfile.source.text).toString("base64")],
  };
}

/** Writes the answer to `--call=targets` as a table. */
export function targetsText(dockerfile: Dockerfile): string {
  const last = dockerfile.stages.length - 1;
  return table([
    ["TARGET", "DESCRIPTION"],
    ...dockerfile.stages.map(({ name, from, index }) => [
      index === last ? (name === undefined ? "(default)" : `${name} (default)`) : (name ?? ""),
      from.description ?? "",
    ]),
  ]);
}
