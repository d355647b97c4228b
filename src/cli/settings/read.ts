import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { parse, TomlError } from "smol-toml";
import { BuildError, messageOf } from "../../../lib/core/errors.ts";
import { SourceText, type Span } from "../../../lib/core/span.ts";
import { didYouMean } from "../../../lib/core/suggest.ts";
import type { SettingsFile } from "./find.ts";
import { type Setting, SETTINGS } from "./table.ts";

const MAX_BYTES = 1 << 20;

/** A value of a file, as its variable would have it. */
export interface FileValue {
  readonly setting: Setting;
  readonly text: string;
  readonly file: SettingsFile;
  readonly line: number;
}

/**
 * Reads a file of settings, and checks every key and value in it.
 * @throws {BuildError} `cli/settings`, with the line, and all further mistakes behind the first
 */
export function readSettings(file: SettingsFile, homeDirectory: string): readonly FileValue[] {
  const source = readSource(file);
  let members: Readonly<Record<string, unknown>>;
  try {
    members = parse(source.text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const message = (error.message.split("\n", 1)[0] ?? "").replace(/^Invalid TOML document: /, "");
    throw new BuildError("cli/settings", `It is not TOML: ${message}`, {
      span: lineSpan(source, error.line, error.column),
    });
  }
  const mistakes: BuildError[] = [];
  const values = Object.entries(members).flatMap(([key, value]): FileValue[] => {
    const span = keySpan(source, key);
    try {
      const setting = settingOf(key, value, file);
      return [{ setting, text: textOf(setting, value, file, homeDirectory), file, line: span?.start.line ?? 1 }];
    } catch (error) {
      if (!(error instanceof BuildError)) throw error;
      mistakes.push(error.at(span));
      return [];
    }
  });
  const [first, ...more] = mistakes;
  if (first !== undefined) throw first.withMore(more);
  return values;
}

function readSource({ path, scope }: SettingsFile): SourceText {
  const bad = (why: string): BuildError =>
    new BuildError("cli/settings", `Cannot read the settings ${JSON.stringify(path)}: ${why}`, {
      hint: "KILN_CONFIG=off reads no settings",
    });
  const noLink = scope === "project" ? constants.O_NOFOLLOW : 0;
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | noLink);
  } catch (error) {
    throw bad(noLink !== 0 && /ELOOP/.test(messageOf(error)) ? "a project's may not be a link" : messageOf(error));
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw bad("it is no file");
    if (status.size > MAX_BYTES) throw bad("it has more than 1 MB");
    return new SourceText(path, new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(fd)));
  } catch (error) {
    throw error instanceof BuildError ? error : bad("it is not UTF-8");
  } finally {
    closeSync(fd);
  }
}

/** Finds the setting of a key that this file may set. */
function settingOf(key: string, value: unknown, { scope }: SettingsFile): Setting {
  const setting = SETTINGS.find((one) => one.key === key);
  const names = SETTINGS.filter((one) => scope !== "project" || one.isForProjects).map((one) => one.key);
  if (setting === undefined) {
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    throw new BuildError(
      "cli/settings",
      `There is no ${isTable ? "table" : "setting"} ${JSON.stringify(key)}${didYouMean(key, names)}`,
      {
        hint: isTable
          ? "settings stand in no table: their names are those of the flags"
          : `there are ${names.join(", ")}`,
      },
    );
  }
  if (scope === "project" && !setting.isForProjects) {
    throw new BuildError(
      "cli/settings",
      `A project's file may not set ${JSON.stringify(key)}: it comes with the files that are built`,
      {
        hint: `set it in ~/.config/kiln/kiln.toml or by ${setting.variable}; a project may set ${names.join(", ")}`,
      },
    );
  }
  return setting;
}

/** Writes a value as the text of the setting's variable. */
function textOf(setting: Setting, value: unknown, file: SettingsFile, homeDirectory: string): string {
  const { key, kind } = setting;
  const wrong = (expected: string): BuildError =>
    new BuildError("cli/settings", `The setting ${JSON.stringify(key)} is to be ${expected}`, { hint: setting.text });
  if (kind === "switch") {
    if (typeof value !== "boolean") throw wrong("true or false");
    return value ? "1" : "0";
  }
  if (kind === "number") {
    if (typeof value !== "number" && typeof value !== "bigint") throw wrong("a number");
  } else if (kind === "list" || kind === "paths") {
    if (!Array.isArray(value)) throw wrong("a list of texts");
  } else if (typeof value !== "string" && typeof value !== "boolean") throw wrong("a text");
  else if (typeof value === "boolean" && !["provenance", "sbom"].includes(key)) throw wrong("a text");
  const texts = (Array.isArray(value) ? value : [value]).map((item: unknown) => {
    if (Array.isArray(value) && typeof item !== "string") throw wrong("a list of texts");
    const text = String(item);
    if (text === "" || /[\n\0]/.test(text)) throw wrong("a text of one line");
    if (setting.values !== undefined && !setting.values.includes(text))
      throw wrong(`one of ${setting.values.join(", ")}${didYouMean(text, setting.values)}`);
    if (setting.form !== undefined && !new RegExp(setting.form).test(text))
      throw wrong(`of another form than ${JSON.stringify(text)}`);
    return kind === "path" || kind === "paths" ? pathOf(text, file, homeDirectory, wrong) : text;
  });
  return texts.join("\n");
}

/** A path of the machine is absolute, or below the home; a project's stays inside the project. */
function pathOf(
  text: string,
  { scope }: SettingsFile,
  homeDirectory: string,
  wrong: (expected: string) => BuildError,
): string {
  if (scope === "project") {
    if (isAbsolute(text) || text === "-" || text.split("/").includes("..")) throw wrong("a path inside the project");
    return text;
  }
  if (text.startsWith("~/")) return join(homeDirectory, text.slice(2));
  if (!isAbsolute(text)) throw wrong("an absolute path, or one that begins with ~/");
  return text;
}

/** The line that begins with the key, quoted or not, or that opens its table. */
function keySpan(source: SourceText, key: string): Span | undefined {
  const quoted = key.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  const match = new RegExp(`^[ \\t]*\\[?\\[?[ \\t]*(["']?)${quoted}\\1[ \\t]*[=.\\]]`, "m").exec(source.text);
  if (match === null) return undefined;
  const start = match.index + (/^[ \t]*/.exec(match[0])?.[0].length ?? 0);
  const end = match.index + match[0].length - 1;
  return { source, start: source.positionAt(start), end: source.positionAt(end) };
}

function lineSpan(source: SourceText, line: number, column: number): Span {
  const start = source.positionAt((source.lineStarts[line - 1] ?? 0) + column - 1);
  return { source, start, end: source.positionAt(start.offset + 1) };
}
