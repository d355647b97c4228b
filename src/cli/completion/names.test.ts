import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test } from "vitest";
import { argsIn, imagesIn, readText, registriesIn, servicesIn, stagesIn, targetsIn } from "./names.ts";

test.each([
  { text: "FROM a AS b\nFROM --platform=$X \\\n  b as C-1\n", stages: ["b", "C-1"] },
  { text: "FROM\nFROM a AS\nRUN <<E\n FROM x AS y z\nE\nfrom a as b # c\n", stages: [] },
  { text: 'FROM a AS b\r\nRUN "unterminated $(\n', stages: ["b"] },
  { text: "\u0000\u0001binary", stages: [] },
])("stages of $text", ({ text, stages }) => {
  expect(stagesIn(text)).toEqual(stages);
});

test("names of ARG lines, one or several in a line", () => {
  expect(argsIn("ARG A\nARG B=1 C\nRUN ARG D\nARG $X\n")).toEqual(["A", "B", "C"]);
});

test.each([
  { file: "docker-bake.hcl", text: 'group "g" {}\ntarget "a" {\n  inherits = ["b"]\n', targets: ["g", "a"] },
  { file: "docker-bake.json", text: '{"group":{"g":{}},"target":{"a":{}}}', targets: ["g", "a"] },
  { file: "docker-bake.json", text: '{"group":', targets: [] },
  { file: "compose.yml", text: "services:\n  a:\n    x: 1\n\n  b-1: {}\nvolumes:\n  v:\n", targets: ["a", "b-1"] },
])("targets of $file: $text", ({ file, text, targets }) => {
  expect(targetsIn(file, text)).toEqual(targets);
});

test("services of a file without any", () => {
  expect(servicesIn("services:\n")).toEqual([]);
  expect(servicesIn("x: 1")).toEqual([]);
});

test("registries of docker's accounts, without what is secret", () => {
  expect(registriesIn('{"auths":{"https://index.docker.io/v1/":{"auth":"x"},"a:5000":{}}}')).toEqual([
    "index.docker.io",
    "a:5000",
  ]);
  expect(registriesIn("no json")).toEqual([]);
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "kiln-completion-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test("a pipe and a folder are no text", () => {
  const path = folder();
  execFileSync("mkfifo", [join(path, "pipe")]);
  expect([readText(join(path, "pipe")), readText(path), readText(join(path, "none"))]).toEqual(["", "", ""]);
});

test("names of images are read while the store is in use and when it is not, and no file is made", () => {
  const path = folder();
  const open = (url: URL): DatabaseSync => new DatabaseSync(url, { readOnly: true });
  expect(imagesIn(path, open)).toEqual([]);
  expect(readdirSync(path)).toEqual([]);
  const database = new DatabaseSync(join(path, "kiln.db"));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE refs (name TEXT, updated_ms INTEGER)");
  database.exec("INSERT INTO refs VALUES ('docker.io/library/app:latest', 2), ('h:5/x:1', 1)");
  expect(imagesIn(path, open)).toEqual(["app", "h:5/x:1"]);
  database.close();
  expect(readdirSync(path)).toEqual(["kiln.db"]);
  expect(imagesIn(path, open)).toEqual(["app", "h:5/x:1"]);
  expect(readdirSync(path)).toEqual(["kiln.db"]);
  writeFileSync(join(path, "kiln.db"), "no database");
  expect(imagesIn(path, open)).toEqual([]);
});
