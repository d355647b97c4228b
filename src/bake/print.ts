import type { Definition } from "./definition.ts";
import type { Target } from "./definition.ts";
import { FIELDS } from "./fields.ts";
import { isList, isMap, toText, toJson, type Value } from "./hcl/value.ts";
import type { Plan } from "./resolve.ts";

/** Attributes whose texts are templates in a file, so that what is printed can be read back. */
const TEMPLATES: ReadonlySet<string> = new Set(["annotations", "dockerfile-inline", "labels", "args", "extra-hosts"]);
/** Order of a secret's members. */
const SECRET_ORDER = ["id", "src", "env"];

/** Makes the document of `--print`: what would be built, as a definition in JSON. */
export function printPlan({ groups, targets }: Plan): string {
  const sorted = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const document = {
    ...(groups.size === 0
      ? {}
      : {
          group: Object.fromEntries(
            sorted(groups).map(([name, { description, targets: members }]) => [
              name,
              { ...(description === undefined || description === "" ? {} : { description }), targets: members },
            ]),
          ),
        }),
    target: Object.fromEntries(sorted(targets).map(([name, target]) => [name, targetJson(target)])),
  };
  return escapeHtml(JSON.stringify(document, undefined, 2));
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[<>&\u2028\u2029]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function targetJson({ fields }: Target): Record<string, unknown> {
  return Object.fromEntries(
    FIELDS.flatMap(({ name, kind }) => {
      const value = fields.get(name);
      if (value === undefined || (name === "description" && value === "")) return [];
      if (name === "context") return [[name, (toText(value) ?? "").replace(/^cwd:\/\//, "")]];
      const shown = TEMPLATES.has(name) ? escaped(value) : value;
      return [[name, jsonOf(shown, kind === "secret" ? SECRET_ORDER : undefined)]];
    }),
  );
}

function escaped(value: Value): Value {
  if (typeof value === "string") return value.replaceAll("${", "$$${").replaceAll("%{", "%%{");
  if (isList(value)) return value.map(escaped);
  return isMap(value) ? new Map([...value].map(([key, item]) => [key, escaped(item)] as const)) : value;
}

function jsonOf(value: Value, order: readonly string[] | undefined): unknown {
  if (isList(value)) return value.map((item) => jsonOf(item, order));
  if (!isMap(value)) return value;
  const keys = order === undefined ? [...value.keys()] : order.filter((key) => value.has(key));
  return Object.fromEntries(keys.map((key) => [key, jsonOf(value.get(key) ?? null, undefined)]));
}

/** A row of `--list=targets`. */
export interface ListedTarget {
  readonly name: string;
  readonly description: string;
  readonly isGroup: boolean;
}

/** Lists targets and groups by name. */
export function listTargets({ groups, targets }: Definition): ListedTarget[] {
  const rows = [
    ...targets.map(({ name, fields }) => ({
      name,
      description: toText(fields.get("description") ?? null) ?? "",
      isGroup: false,
    })),
    ...groups.map(({ name, description, targets: members }) => {
      const list = members.join(", ");
      return {
        name,
        description: description === undefined || description === "" ? list : `${description} (${list})`,
        isGroup: true,
      };
    }),
  ];
  return rows.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Writes a variable's value for `--list=variables`. */
export function valueText(value: Value): string {
  return value === null ? "<null>" : (toText(value) ?? toJson(value));
}
