/** SGR parameters, by what they say. `run` is for steps that are done. */
export interface ProgressColors {
  readonly run: string;
  readonly error: string;
  readonly cancel: string;
  readonly warning: string;
}

/** BuildKit's own, on a dark and on a light ground. */
export const DEFAULT_COLORS: ProgressColors = { run: "34", error: "31", cancel: "33", warning: "33" };
