import { readFileSync, writeSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { userStore } from "../home.ts";
import type { CommandTable } from "../command-table.ts";
import { type Answer, answer } from "./answer.ts";
import type { NameKind } from "./flag-values.ts";
import { splitLine } from "./line.ts";
import { argsIn, imagesIn, readText, registriesIn, servicesIn, stagesIn, targetsIn } from "./names.ts";
import type { Given } from "./place.ts";

const BAKE_FILES = [
  ...["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"],
  ...["docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"],
];

/*
 * The program behind `kiln __complete line LINE` and `kiln __complete words WORD...`. Errors have no place on a line that is
 * being typed: whatever cannot be read has no names.
 */
const [how, ...asked] = process.argv.slice(2);
const words = how === "line" ? splitLine(asked[0] ?? "") : asked;
let text: string;
try {
  text = written(words.at(-1) ?? "", answer(readTable(), words, readNames));
} catch (error) {
  if (process.env["KILN_DEBUG"]) throw error;
  text = `${words.at(-1) ?? ""}\n`;
}
writeSync(1, text);

function written(word: string, { candidates, paths, hasMore }: Answer): string {
  const lines = candidates.map((one) => (one.text === "" ? one.word : `${one.word}\t${one.text}`));
  const orders = [...(paths === undefined ? [] : [`:${paths}`]), ...(hasMore ? [":more"] : [])];
  return `${[word.replaceAll("\n", " "), ...lines, ...orders].join("\n")}\n`;
}

function readTable(): CommandTable {
  // The build writes this file and this program together.
  // oxlint-disable-next-line no-unsafe-type-assertion
  return parseTable("commands.json") as CommandTable;
}

/** Reads a file that the build has put beside this program. */
function parseTable(name: string): object {
  const table: unknown = JSON.parse(readFileSync(join(dirname(process.argv[1] ?? ""), name), "utf8"));
  return table instanceof Object ? table : {};
}

function readNames(kind: NameKind, place: Given): readonly string[] {
  switch (kind) {
    case "image":
      return imagesIn(rootOf(place), (url) => {
        const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
        return new DatabaseSync(url, { readOnly: true });
      });
    case "stage":
      return stagesIn(dockerfileOf(place));
    case "arg":
      return argsIn(dockerfileOf(place));
    case "target": {
      const files = place.values.get("--file") ?? BAKE_FILES;
      return [...new Set(files.flatMap((file) => targetsIn(file, readText(file))))];
    }
    case "service": {
      const files = place.values.get("--file") ?? BAKE_FILES.filter((file) => /\.ya?ml$/.test(file));
      return [...new Set(files.flatMap((file) => servicesIn(readText(file))))];
    }
    case "variable":
      return Object.keys(process.env);
    case "registry":
      return registriesIn(readText(join(process.env["DOCKER_CONFIG"] || join(homedir(), ".docker"), "config.json")));
    case "code":
      return Object.keys(parseTable("errors.json"));
    default:
      return kind satisfies never;
  }
}

/** The Dockerfile of -f, or the context's own. */
function dockerfileOf({ values, operands }: Given): string {
  const file = values.get("--file")?.at(-1);
  if (file !== undefined) return readText(file);
  const context = operands[0] ?? ".";
  return readText(join(context, "Dockerfile")) || readText(join(context, "Containerfile"));
}

function rootOf({ values }: Given): string {
  const given = values.get("--root")?.at(-1) ?? (process.env["KILN_ROOT"] || undefined);
  if (given !== undefined) return resolve(given);
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return "/var/lib/kiln";
  const homeDirectory = process.env["HOME"] ?? "/";
  return userStore({ env: process.env, uid, homeDirectory, temporaryDirectory: tmpdir() }).root;
}
