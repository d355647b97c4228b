import { relative } from "node:path";
import { printableLine } from "../../lib/core/printable.ts";
import { familiarReference, parseReference } from "../../lib/core/reference.ts";
import type { BuildEnvironment } from "../engine/environment.ts";
import type { BuildNews } from "../watch/watch.ts";
import { shortId } from "./table.ts";

const MAX_SHOWN = 3;
const MAX_STEPS = 12;

/** Describes a build of a watch: the files that changed, the steps that ran with their reasons, the time and the new id. */
export function newsLines(news: BuildNews, place: Pick<BuildEnvironment, "workingDirectory">): string[] {
  const what = changedText(news.changes, place.workingDirectory);
  const time = news.wallMs < 1000 ? `${Math.round(news.wallMs)} ms` : `${(news.wallMs / 1000).toFixed(1)} s`;
  if (news.kind === "failed")
    return [printableLine(`kiln: ${what}the build failed after ${time}; waiting for a change`)];
  const id = news.result.imageId ?? news.result.manifest?.digest;
  const names = news.result.names.map((name) => familiarReference(parseReference(name))).join(", ");
  if (!news.isNew) return [printableLine(`kiln: ${what}no step uses it: nothing is new (${time})`)];
  const ran = (news.report?.steps ?? []).filter(({ how }) => how === "ran");
  const steps =
    news.changes === undefined
      ? []
      : ran.map(({ name, why }) => `  ${name}${why === undefined ? "" : `  (${reasonOf(why)})`}`);
  const more = steps.length > MAX_STEPS ? [`  and ${steps.length - MAX_STEPS} more steps`] : [];
  const made = id === undefined ? "written" : `${shortId(id)}${names === "" ? "" : ` ${names}`}`;
  return [`kiln: ${what}${made} in ${time}`, ...steps.slice(0, MAX_STEPS), ...more].map(printableLine);
}

/** Leaves the instruction out of a reason, which stands behind its step's name. */
function reasonOf(why: string): string {
  return why.replace(/: [A-Z]+ .*$/s, "");
}

function changedText(changes: BuildNews["changes"], workingDirectory: string): string {
  if (changes === undefined || changes.count === 0) return "";
  const shown = changes.paths.slice(0, MAX_SHOWN).map((path) => nameOf(path, workingDirectory));
  const rest = changes.count - shown.length;
  return `${shown.join(", ")}${rest > 0 ? ` and ${rest} more` : ""} changed: `;
}

function nameOf(path: string, workingDirectory: string): string {
  const inside = relative(workingDirectory, path);
  return inside === "" ? "." : inside.startsWith("..") ? path : inside;
}
