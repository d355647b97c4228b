import type { ProgressColors } from "../../progress/colors.ts";

/** BuildKit's names of colours, as SGR parameters. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ black: "30", red: "31", green: "32", yellow: "33", blue: "34", magenta: "35", cyan: "36", white: "37" },
  ...{ default: "39", "light-black": "90", "light-red": "91", "light-green": "92", "light-yellow": "93" },
  ...{ "light-blue": "94", "light-magenta": "95", "light-cyan": "96", "light-white": "97" },
  ...{ gray: "90", grey: "90", orange: "33", purple: "35" },
};
const KEYS = ["run", "cancel", "error", "warning"] as const;

/**
 * Reads `BUILDKIT_COLORS`: `run=green:warning=yellow:error=red:cancel=255,165,0`. Malformed fields are skipped and
 * reported.
 * @returns the colours, and one sentence for each field that has no effect
 */
export function readColors(text: string): {
  readonly colors: Partial<ProgressColors>;
  readonly notices: readonly string[];
} {
  const colors: Partial<Record<keyof ProgressColors, string>> = {};
  const notices: string[] = [];
  for (const field of text.split(":").filter((one) => one !== "")) {
    const [name = "", value = "", ...rest] = field.split("=");
    const key = KEYS.find((one) => one === name.toLowerCase());
    const code = rest.length > 0 ? undefined : codeOf(value);
    if (key === undefined || code === undefined) {
      notices.push(
        `BUILDKIT_COLORS: ${JSON.stringify(field)} is ignored: write it like run=green or error=255,0,0 (run, cancel, error, warning)`,
      );
    } else colors[key] = code;
  }
  return { colors, notices };
}

function codeOf(value: string): string | undefined {
  const name = value.toLowerCase();
  if (Object.hasOwn(NAMES, name)) return NAMES[name];
  const parts = value.split(",").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  return parts.length === 3 && parts.every((part) => part < 256) ? `38;2;${parts.join(";")}` : undefined;
}
