import { DEFAULT_COLORS, type ProgressColors } from "./colors.ts";

/** Colours of whole rows. */
export type Style = Readonly<
  Record<"plain" | "error" | "cancel" | "run" | "warning" | "dim", (text: string) => string>
>;

/** Makes the functions that paint; without colours they return their text. */
export function styler(colors: ProgressColors | false): Style {
  const wrap =
    (code: string | undefined) =>
    (text: string): string =>
      code !== undefined && colors !== false ? `\u001b[${code}m${text}\u001b[0m` : text;
  const { run, error, cancel, warning } = colors === false ? DEFAULT_COLORS : colors;
  const painted = { run: wrap(run), error: wrap(error), cancel: wrap(cancel), warning: wrap(warning) };
  return { plain: (text) => text, ...painted, dim: wrap("2") };
}
