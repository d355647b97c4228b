/** SGR parameters by meaning. `run` is for finished steps. */
export interface ProgressColors {
  readonly run: string;
  readonly error: string;
  readonly cancel: string;
  readonly warning: string;
}

/** BuildKit's own colours, for a dark and for a light background. */
export const DEFAULT_COLORS: ProgressColors = { run: "34", error: "31", cancel: "33", warning: "33" };
