import { expect, test } from "vitest";
import { SourceText } from "../../../lib/core/span.ts";
import { printPlan } from "../print.ts";
import { makePlan } from "../resolve.ts";
import { readCompose } from "./compose.ts";

/** Prints the targets of a project whose first file is `main` (`compose.yaml`). */
function targets(
  files: Readonly<Record<string, string>>,
  main = "compose.yaml",
  paths: "of-first-file" | "of-names" = "of-first-file",
): Readonly<Record<string, unknown>> {
  const read = (path: string): SourceText | undefined =>
    files[path] === undefined ? undefined : new SourceText(path, files[path]);
  const host = { lookup: (name: string) => (name === "OUTER" ? "outer" : undefined), read, paths };
  const definition = readCompose([new SourceText(main, files[main] ?? "")], host);
  const printed: unknown = JSON.parse(printPlan(makePlan(definition, ["default"], [])));
  return typeof printed === "object" && printed !== null && "target" in printed
    ? Object.fromEntries(Object.entries(printed.target ?? {}))
    : {};
}

test("a service has what it extends, in its own file or another one", () => {
  const made = targets({
    "compose.yaml": [
      "services:",
      "  base: { build: { context: ., args: { A: 1, B: 2 }, tags: [x] } }",
      "  app: { extends: base, image: app, build: { args: [B=3], target: app } }",
      "  other: { extends: { service: far, file: lib/common.yaml }, build: { args: { C: 5 } } }",
    ].join("\n"),
    "lib/common.yaml": [
      "services:",
      "  far: { extends: { service: near }, build: { additional_contexts: { src: ./src, img: docker-image://x } } }",
      "  near: { image: near, build: { dockerfile: D, args: { C: 4 } } }",
    ].join("\n"),
  });
  expect(made["app"]).toEqual({
    context: ".",
    dockerfile: "Dockerfile",
    args: { A: "1", B: "3" },
    tags: ["x"],
    target: "app",
  });
  expect(made["other"]).toEqual({
    context: "lib",
    contexts: { src: "lib/src", img: "docker-image://x" },
    dockerfile: "D",
    args: { C: "5" },
    tags: ["near"],
  });
});

test.each([
  { name: "a required variable without a value", yaml: "a:\n  b: ${X:?set it}", says: "set it", line: 2 },
  { name: "no variable", yaml: "a: 1\nb: '${1}'", says: "it is no ${NAME}", line: 2 },
  { name: "deep defaults", yaml: `a: "${"${A:-".repeat(500)}${"}".repeat(500)}"`, says: "too deep", line: 1 },
  { name: "lists inside each other", yaml: `a: ${"[".repeat(20_000)}`, says: "nests too deeply", line: 1 },
  { name: "an alias in itself", yaml: "a: &a [*a]", says: "aliases stand for too much", line: 1 },
  {
    name: "aliases of aliases",
    yaml: Array.from({ length: 30 }, (_, n) => `a${n}: &a${n} [${n === 0 ? "x" : `*a${n - 1},*a${n - 1}`}]`).join("\n"),
    says: "aliases stand for too much",
    line: 1,
  },
])("$name is an error with its place", ({ yaml, says, line }) => {
  const read = (): unknown => targets({ "compose.yaml": yaml });
  expect(read).toThrow(says);
  expect(read).toThrow(
    expect.objectContaining({ span: expect.objectContaining({ start: expect.objectContaining({ line }) }) }),
  );
});

test("included files have their own directory and their own .env", () => {
  const made = targets(
    {
      "deploy/compose.yaml":
        "include: [../a/compose.yaml, { path: [b.yaml, b2.yaml], project_directory: ../b, env_file: [b0.env, b.env] }]\n",
      "a/compose.yaml":
        "include: [sub/c.yaml]\nservices: { a: { build: { args: { V: '$V $OUTER' } } } }\nsecrets: {}\n",
      "a/sub/c.yaml": "services: { c: { build: ./ctx } }\n",
      "a/.env": "V=inner\nOUTER=no\n",
      "deploy/b.yaml":
        "services: { b: { build: { context: ., secrets: [s], args: { V: $V } } } }\nsecrets: { s: { file: ./s.txt } }\n",
      "deploy/b2.yaml": "services: { b: { build: { target: two } } }\n",
      "deploy/b0.env": "V=b\n",
      "deploy/b.env": "V=of ${V}\n",
    },
    "deploy/compose.yaml",
  );
  expect(made).toEqual({
    a: { context: "../a", dockerfile: "Dockerfile", args: { V: "inner outer" } },
    b: {
      context: "../b",
      dockerfile: "Dockerfile",
      args: { V: "of b" },
      target: "two",
      secret: [{ id: "s", src: "../b/s.txt" }],
    },
    c: { context: "../a/sub/ctx", dockerfile: "Dockerfile" },
  });
});

test("docker compose takes all paths relative to the first file", () => {
  const text =
    "services: { a: { build: { additional_contexts: [x=./x, y=/y], secrets: [s] } } }\nsecrets: { s: { file: s } }\n";
  expect(targets({ "deploy/compose.yaml": text }, "deploy/compose.yaml", "of-names")["a"]).toEqual({
    context: "deploy",
    contexts: { x: "deploy/x", y: "/y" },
    dockerfile: "Dockerfile",
    secret: [{ id: "s", src: "deploy/s" }],
  });
});

test.each([
  ["services: { a: { extends: a, build: . } }", /extends itself/],
  ["services: { a: { extends: b }, b: { extends: { service: a } } }", /extends itself/],
  ["services: { a: { extends: nothere, build: . } }", /no service nothere in compose.yaml/],
  ["services: { a: { extends: { service: x, file: nothere.yaml } } }", /nothere.yaml.*no such file/],
  ["include: [compose.yaml]", /without an end/],
  ["include: [{ project_directory: x }]", /an include has no path/],
])("%s is an error", (text, message) => {
  expect(() => targets({ "compose.yaml": text })).toThrow(message);
});

test.each([
  [[], ["a"]],
  [["x"], ["a", "b"]],
  [["*"], ["a", "b", "c.d"]],
  [undefined, ["a", "b", "c.d"]],
])("of the profiles %s the services %s count", (profiles, names) => {
  const text = "services: { a: { build: . }, b: { build: ., profiles: [x] }, c.d: { build: ., profiles: [y, z] } }\n";
  const host = { lookup: () => undefined, read: () => undefined, paths: "of-first-file", profiles } as const;
  const [group] = readCompose([new SourceText("compose.yaml", text)], host).groups;
  expect(group?.targets).toEqual(names.map((name) => name.replace(".", "_")));
});

// As docker buildx bake 0.29 prints them.
test.each([
  ["shm_size: 128mb", { "shm-size": "128MiB" }],
  ["shm_size: 1536kb", { "shm-size": "1.5MiB" }],
  ["shm_size: 100000", { "shm-size": "97.66KiB" }],
  ["additional_contexts: [d=./d/]", { contexts: { d: "d" } }],
  ["x-bake: { tags: [u] }", { tags: ["u"] }],
  ["tags: [t]", { tags: ["t"] }],
  ["x-bake: { no-cache: true }", { tags: ["image"], "no-cache": true }],
])("%s is %j", (build, printed) => {
  expect(targets({ "compose.yaml": `services: { a: { image: image, build: { ${build} } } }\n` })["a"]).toMatchObject(
    printed,
  );
});
