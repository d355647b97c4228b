import type { CommandEntry, CommandTable, FlagEntry } from "../command-table.ts";

/**
 * Man pages in the man(7) macros of groff and mandoc: `kiln.1`, and `kiln-build.1` for a command. Pure text out of the
 * table of commands.
 */
export function manualPages(table: CommandTable, date: string): ReadonlyMap<string, string> {
  const pages = table.commands.map((entry) => [`${fileName(entry)}.1`, commandPage(entry, table, date)] as const);
  return new Map([["kiln.1", mainPage(table, date)], ...pages]);
}

function fileName({ words }: CommandEntry): string {
  return `kiln-${words.replaceAll(" ", "-")}`;
}

function mainPage(table: CommandTable, date: string): string {
  const { kiln, commands, version } = table;
  const list = commands.flatMap((entry) => [
    ".TP",
    `\\fBkiln ${text(entry.words)}\\fR`,
    text(sentence(entry.text)),
    `See \\fB${text(fileName(entry))}\\fR(1).`,
  ]);
  return page([
    head("kiln", date, version),
    ...name("kiln", kiln.text),
    ".SH SYNOPSIS",
    "\\fBkiln\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]",
    ".SH DESCRIPTION",
    "kiln turns a Dockerfile and a folder of files into a container image. It is one process: there is no daemon, and nothing stays behind but the store on disk.",
    ".SH OPTIONS",
    ...flags(kiln.flags),
    ".SH COMMANDS",
    ...list,
    ".SH EXIT STATUS",
    ...STATUS,
    ".SH SEE ALSO",
    "\\fBdocker\\fR(1), \\fBpodman\\fR(1), \\fBDockerfile\\fR(5)",
  ]);
}

function commandPage(entry: CommandEntry, { kiln, version }: CommandTable, date: string): string {
  const groups = Map.groupBy(entry.flags, ({ group }) => group ?? "");
  const own = groups.get("") ?? [];
  const others = [...groups].filter(([group]) => group !== "");
  const root = kiln.flags.filter(({ names }) => names.includes("--root"));
  return page([
    head(fileName(entry), date, version),
    ...name(fileName(entry), entry.text),
    ".SH SYNOPSIS",
    `\\fBkiln ${text(entry.words)}\\fR ${text(entry.usage)}`,
    ".SH DESCRIPTION",
    text(sentence(entry.text)),
    ".SH OPTIONS",
    ...flags([...own, ...root]),
    ...others.flatMap(([group, list]) => [`.SS ${text(group.replace(/:$/, ""))}`, ...flags(list)]),
    ...(entry.examples.length === 0 ? [] : [".SH EXAMPLES", ...entry.examples.flatMap(example)]),
    ".SH SEE ALSO",
    "\\fBkiln\\fR(1)",
  ]);
}

function head(title: string, date: string, version: string): string {
  return `.TH ${title.toUpperCase().replaceAll("-", "\\-")} 1 ${date} "kiln ${version}" "kiln"`;
}

function name(title: string, what: string): string[] {
  return [".SH NAME", `${text(title)} \\- ${text(what.replaceAll("\n", " "))}`];
}

function flags(list: readonly FlagEntry[]): string[] {
  return list.flatMap(({ names, value, isOptional, text: what }) => {
    const written = value === undefined ? "" : isOptional ? `[=\\fI${text(value)}\\fR]` : ` \\fI${text(value)}\\fR`;
    const [long = "", short] = names;
    const both = [...(short === undefined ? [] : [short]), long].map((one) => `\\fB${text(one)}\\fR`).join(", ");
    return [".TP", `${both}${written}`, text(sentence(what))];
  });
}

function example([line, what]: readonly [string, string]): string[] {
  return [".TP", `\\fB${text(line)}\\fR`, what === "" ? "\\&" : text(sentence(what))];
}

const STATUS = [
  ["0", "done"],
  ["1", "a failure, which standard error explains; \\fBkiln explain\\fR \\fICODE\\fR has more"],
  ["125", "an invalid command line; a failure of kiln itself in \\fBkiln run\\fR"],
  ["126, 127", "\\fBkiln run\\fR: the command cannot be executed, or is not there"],
  ["128 + n", "ended by signal n: 130 after Ctrl\\-C"],
].flatMap(([code = "", what = ""]) => [".TP", `\\fB${code}\\fR`, sentence(what)]);

function sentence(what: string): string {
  const first = what.charAt(0).toUpperCase() + what.slice(1);
  return what === "" ? "" : /[.!?]$/.test(first) ? first : `${first}.`;
}

/** Escapes what troff would read: backslashes, dashes that are to stay ASCII, and a control character at the beginning. */
function text(plain: string): string {
  const escaped = plain.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("\n", " ");
  return escaped.replace(/^([.'])/, "\\&$1");
}

function page(lines: readonly string[]): string {
  return `${lines.filter((line) => line !== "").join("\n")}\n`;
}
