/** Markers that a CI service folds its log by. Each is a whole line without its end, or empty. */
export interface FoldMarks {
  /** Begins a section with this title, which stands on a line of its own. */
  open(section: { readonly id: number; readonly title: string; readonly atMs: number }): string;
  /** Ends the section. */
  close(section: { readonly id: number; readonly atMs: number; readonly outcome: "well" | "failed" }): string;
}

/** Finds the service whose log this is, by the variables that each of them sets. */
export function foldMarks(env: Readonly<Record<string, string | undefined>>): FoldMarks | undefined {
  if (isTrue(env["GITHUB_ACTIONS"])) return GITHUB;
  if (isTrue(env["GITLAB_CI"])) return GITLAB;
  return isTrue(env["BUILDKITE"]) ? BUILDKITE : undefined;
}

function isTrue(text: string | undefined): boolean {
  return /^(?:1|true)$/i.test(text ?? "");
}

/** Workflow commands. Lines of steps never begin with "::", since they begin with their number. */
const GITHUB: FoldMarks = {
  open: ({ title }) => `::group::${title}`,
  close: () => "::endgroup::",
};

/** Sections have names, and times in seconds; "erase the line" hides the marker itself. */
const GITLAB: FoldMarks = {
  open: ({ id, title, atMs }) =>
    `\u001b[0Ksection_start:${seconds(atMs)}:kiln_step_${id}[collapsed=true]\r\u001b[0K${title}`,
  close: ({ id, atMs }) => `\u001b[0Ksection_end:${seconds(atMs)}:kiln_step_${id}\r\u001b[0K`,
};

/** A section lasts until the next one; a failed one is unfolded afterwards. */
const BUILDKITE: FoldMarks = {
  open: ({ title }) => `--- ${title}`,
  close: ({ outcome }) => (outcome === "failed" ? "^^^ +++" : ""),
};

function seconds(atMs: number): number {
  return Math.floor(atMs / 1000);
}
