import { type Setting, SETTINGS, VARIABLES } from "./table.ts";

/** Writes the JSON schema of kiln.toml, which editors read. */
export function settingsSchema(): string {
  const properties = Object.fromEntries(SETTINGS.map((setting) => [setting.key, schemaOf(setting)]));
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "kiln.toml",
    description: "Settings of kiln: docs/settings.md",
    type: "object",
    additionalProperties: false,
    properties,
  };
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

function schemaOf({ kind, key, values, form, text, byDefault, isForProjects }: Setting): object {
  const own = isForProjects ? "" : " Not in a project's file.";
  const description = `${text.charAt(0).toUpperCase()}${text.slice(1)}. Default: ${byDefault}.${own}`;
  const item = {
    type: "string",
    ...(values === undefined ? {} : { enum: values }),
    ...(form === undefined ? {} : { pattern: form }),
  };
  switch (kind) {
    case "switch":
      return { type: "boolean", description };
    case "number":
      return { type: "integer", minimum: 1, maximum: 9999, description };
    case "list":
    case "paths":
      return { type: "array", items: item, description };
    case "text":
    case "path":
      return ["provenance", "sbom"].includes(key)
        ? { anyOf: [{ type: "boolean" }, item], description }
        : { ...item, description };
    default:
      return kind satisfies never;
  }
}

const BEGIN = "<!-- begin of what npm run settings writes -->";
const END = "<!-- end -->";

/** Puts the tables of settings and variables into the page. */
export function settingsPage(page: string): string {
  const [before = "", rest = ""] = page.split(BEGIN);
  const after = rest.slice(rest.indexOf(END));
  return `${before}${BEGIN}\n\n${tables()}\n\n${after}`;
}

function tables(): string {
  const settings = SETTINGS.map(({ key, flag, variable, byDefault, text, isForProjects }) =>
    row([
      `\`${key}\``,
      flag === undefined ? "" : `\`${flag}\``,
      `\`${variable}\``,
      text,
      byDefault,
      isForProjects ? "yes" : "",
    ]),
  );
  const variables = Object.entries(VARIABLES).map(([name, text]) => row([`\`${name}\``, text]));
  return [
    row(["key", "flag", "variable", "what", "default", "in a project's file"]),
    row(["---", "---", "---", "---", "---", "---"]),
    ...settings,
    "",
    "Variables that have no key, being for one run or secret:",
    "",
    row(["variable", "what"]),
    row(["---", "---"]),
    ...variables,
  ].join("\n");
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}
