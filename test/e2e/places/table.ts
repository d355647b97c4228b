import { CASES } from "./dockerfiles.ts";
import { KNOWN } from "./known.ts";
import { PLACES } from "./places.ts";

/** The differences as a table in Markdown, for docs/rootless.md. */
export function tableOfPlaces(): string {
  const rows = PLACES.map((place) => {
    const cases = CASES.filter(({ runs }) => place.runs || !runs);
    const reasons = new Map<string, string[]>();
    for (const { name } of cases) {
      for (const known of KNOWN) {
        if (!known.places.test(place.name) || !known.cases.includes(name)) continue;
        reasons.set(known.because, [...(reasons.get(known.because) ?? []), name]);
      }
    }
    const differing = new Set([...reasons.values()].flat());
    const equal = `${cases.length - differing.size} of ${cases.length}${place.runs ? "" : ", without RUN"}`;
    const texts = [...reasons].map(([because, names]) => `*${names.join(", ")}*: ${because}`);
    return `| ${place.name} | ${equal} | ${texts.join("; ")} |`;
  });
  return ["| Where kiln runs | Builds equal to root's | What differs |", "| --- | --- | --- |", ...rows].join("\n");
}
