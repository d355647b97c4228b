/**
 * One Dockerfile for both builders; all cases share one context. A file of cases is text:
 *
 *     === COPY of a name with a blank
 *     @arg NAME=a b
 *     FROM scratch
 *     COPY ["sp ace.txt", "/"]
 *     === the next one
 *
 * Lines that begin with `@`, right below the name, are settings of the build, listed in `Settings` below. `{{U+FEFF}}`
 * in a Dockerfile is that character, `{{x*65536}}` is the text before the star repeated, and `{{registry}}` is the
 * registry. Text above the first case describes the file.
 */
export interface Case extends Settings {
  /** The file's name and the text after `===`: `copy: COPY of a name with a blank`. */
  readonly name: string;
  readonly dockerfile: string;
}

interface Settings {
  /** `@arg NAME=value` */
  readonly args: readonly string[];
  /** `@flag --secret=id=token,src=a.txt`: a flag of the build only, not of the calls. */
  readonly flags: readonly string[];
  /** `@context name=docker-image://...` */
  readonly contexts: readonly string[];
  /** `@ignore *.txt`: a line of the file's own .dockerignore. */
  readonly ignore: readonly string[];
  /** `@target final` */
  readonly target: string | undefined;
  /** `@platform linux/arm64` */
  readonly platform: string | undefined;
  /** `@meant reason`: the builders differ on purpose. */
  readonly meant: string | undefined;
  /** `@newer what`: kiln follows a later version of the Dockerfile frontend than the one in docker's engine. */
  readonly newer: string | undefined;
  /** `@push name`: BuildKit's image is pushed as `{{registry}}/kiln-differential/name`; later cases may build on it. */
  readonly push: string | undefined;
}

/** Parses a file of cases. `topic` is the file's name without its ending. Throws when a case has an unknown setting. */
export function parseCases(topic: string, text: string, registry: string): Case[] {
  const [, ...parts] = `\n${text}`.split("\n=== ");
  return parts.map((part) => {
    const [title = "", ...lines] = part.split("\n");
    const first = lines.findIndex((line) => !line.startsWith("@"));
    const settings = lines.slice(0, Math.max(first, 0)).map((line) => line.replaceAll("{{registry}}", registry));
    const name = `${topic}: ${title}`;
    const body = lines.slice(Math.max(first, 0)).join("\n");
    return { name, ...readSettings(name, settings), dockerfile: dockerfileOf(settings, body, registry) };
  });
}

const KNOWN = [
  "arg",
  "flag",
  "context",
  "ignore",
  "target",
  "platform",
  "meant",
  "newer",
  "push",
  "crlf",
  "no-newline",
];

function readSettings(name: string, lines: readonly string[]): Settings {
  const all = (key: string): string[] =>
    lines.filter((line) => line.startsWith(`@${key} `)).map((line) => line.slice(key.length + 2));
  const unknown = lines.find((line) => !KNOWN.includes(line.slice(1).split(" ", 1)[0] ?? ""));
  if (unknown !== undefined) throw new Error(`${name}: there is no setting ${unknown}`);
  return {
    args: all("arg"),
    flags: all("flag"),
    contexts: all("context"),
    ignore: all("ignore"),
    target: all("target")[0],
    platform: all("platform")[0],
    meant: all("meant")[0],
    newer: all("newer")[0],
    push: all("push")[0],
  };
}

/**
 * Makes a case's Dockerfile. `@crlf` ends every line with "\r\n", `@no-newline` leaves the last line without an end.
 */
function dockerfileOf(settings: readonly string[], body: string, registry: string): string {
  const whole = settings.includes("@no-newline") ? body.replace(/\n+$/, "") : `${body.replace(/\n+$/, "")}\n`;
  const written = whole
    .replaceAll("{{registry}}", registry)
    .replaceAll(/\{\{U\+([0-9A-F]+)\}\}/g, (_, code: string) => String.fromCodePoint(Number.parseInt(code, 16)))
    .replaceAll(/\{\{([^{}]+)\*(\d+)\}\}/g, (_, unit: string, times: string) => unit.repeat(Number(times)));
  return settings.includes("@crlf") ? written.replaceAll("\n", "\r\n") : written;
}
