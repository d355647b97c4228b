import { coverPasswords } from "../../lib/core/credentials.ts";
import { DEBUG_AREAS, type DebugArea, listenToDebug } from "../../lib/core/debug.ts";
import { BuildError } from "../../lib/core/errors.ts";
import { printable } from "../../lib/core/printable.ts";
import { suggest } from "../../lib/core/suggest.ts";
import type { Host } from "./host.ts";

/**
 * Prints the output of the `KILN_DEBUG` areas on standard error, each text after the time since the start. Does nothing
 * when the variable is not set.
 * @throws {BuildError} `cli/usage` for an unknown area
 */
export function openDebugOutput(host: Pick<Host, "env" | "stderr">): Disposable {
  const areas = debugAreas(host.env["KILN_DEBUG"] ?? "");
  if (areas.size === 0) return { [Symbol.dispose]: () => undefined };
  const startMs = performance.now();
  const tell = (area: DebugArea, text: string): void => {
    const time = (performance.now() - startMs).toFixed(1).padStart(8);
    const lines = printable(coverPasswords(text)).trimEnd().replaceAll("\n", "\n    ");
    host.stderr.write(`${time} ms ${area}: ${lines}\n`);
  };
  const begin = (area: DebugArea, name: string): (() => void) => {
    const beginMs = performance.now();
    return () => tell(area, `${name} took ${(performance.now() - beginMs).toFixed(1)} ms`);
  };
  return listenToDebug({ areas, tell, begin });
}

/** Parses `cache,store`, or `*` for all areas. */
function debugAreas(text: string): ReadonlySet<DebugArea> {
  const words = text.split(",").map((word) => word.trim());
  const found = words.filter((word) => word !== "").flatMap((word) => (word === "*" ? DEBUG_AREAS : [areaOf(word)]));
  return new Set(found);
}

function areaOf(word: string): DebugArea {
  const found = DEBUG_AREAS.find((one) => one === word);
  if (found !== undefined) return found;
  const guess = suggest(word, DEBUG_AREAS);
  throw new BuildError("cli/usage", `Cannot tell about ${JSON.stringify(word)}, which KILN_DEBUG asks for`, {
    hint: `${guess === undefined ? "" : `did you mean ${guess}? `}the areas are ${DEBUG_AREAS.join(", ")}, and * for all`,
  });
}
