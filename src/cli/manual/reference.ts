import type { CommandEntry, CommandTable, FlagEntry } from "../command-table.ts";

/** Writes docs/commands.md: every command with its flags and examples, out of the table that help and man pages have. */
export function commandsPage({ kiln, commands }: CommandTable): string {
  const list = commands.map(({ words, text }) => `| [\`kiln ${words}\`](#kiln-${anchor(words)}) | ${cell(text)} |`);
  return `${[
    "# Commands",
    "",
    "`npm run reference` writes this page out of the commands themselves; `kiln COMMAND --help` and the man pages say the same.",
    "Every command also takes:",
    "",
    ...flagTable(kiln.flags.filter(({ names }) => names.includes("--root"))),
    "",
    "| command | what it does |",
    "| --- | --- |",
    ...list,
    ...commands.flatMap(commandPart),
  ].join("\n")}\n`;
}

/** Writes docs/errors.md: every code with the first paragraph of its page. */
export function errorsPage(pages: Readonly<Record<string, string>>): string {
  const rows = Object.entries(pages).map(
    ([code, page]) => `| [${code}](errors/${code}.md) | ${cell(firstParagraph(page))} |`,
  );
  return `${[
    "# Error codes",
    "",
    "`kiln explain CODE` shows the page of a code. `npm run reference` writes this list.",
    "",
    "| code | what it is |",
    "| --- | --- |",
    ...rows,
  ].join("\n")}\n`;
}

function commandPart({ words, usage, text, flags, examples }: CommandEntry): readonly string[] {
  const own = flags.filter(({ names }) => !names.includes("--help"));
  const groups = [...Map.groupBy(own, ({ group }) => group ?? "")];
  return [
    "",
    `## kiln ${words}`,
    "",
    `\`kiln ${words} ${usage}\`: ${text.replaceAll("\n", " ")}`,
    ...groups.flatMap(([group, list]) => [...(group === "" ? [] : ["", group]), "", ...flagTable(list)]),
    ...(examples.length === 0 ? [] : ["", ...examples.map(exampleLine)]),
  ];
}

function flagTable(flags: readonly FlagEntry[]): readonly string[] {
  return ["| flag | |", "| --- | --- |", ...flags.map((flag) => `| \`${spelled(flag)}\` | ${cell(flag.text)} |`)];
}

function spelled({ names: [long = "", short], value, isOptional }: FlagEntry): string {
  const argument = value === undefined ? "" : isOptional ? `[=${value}]` : ` ${value}`;
  // Within a code span only a bar needs an escape.
  return `${short === undefined ? "" : `${short}, `}${long}${argument}`.replaceAll("|", "\\|");
}

function exampleLine([line, what]: readonly [string, string]): string {
  return `- \`${line}\`${what === "" ? "" : `: ${what}`}`;
}

function anchor(words: string): string {
  return words.replaceAll(" ", "-");
}

function cell(text: string): string {
  return text.replaceAll("\n", " ").replaceAll("|", "\\|").replaceAll("<", "&lt;");
}

function firstParagraph(page: string): string {
  return page.split(/\n\s*\n/)[1]?.trim() ?? "";
}
