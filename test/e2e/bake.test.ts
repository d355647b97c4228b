import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, kiln, missing, mustKiln, temporary } from "./harness.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`the tests of baking are skipped: ${why}`);

const BAKE = `variable "WORD" { default = "first" }
group "default" { targets = ["one", "two"] }
target "shared" { dockerfile = "Dockerfile" }
target "one" {
  inherits = ["shared"]
  target = "one"
  output = ["out-one"]
}
target "two" {
  inherits = ["shared"]
  target = "two"
  args = { WORD = WORD }
  output = ["out-two"]
}
target "user" {
  contexts = { made = "target:one" }
  dockerfile-inline = "FROM scratch\\nCOPY --from=made /one /taken\\n"
  output = ["out-user"]
}
target "many" {
  name = "many-\${n}"
  matrix = { n = ["a", "b"] }
  dockerfile-inline = "FROM scratch\\nARG N\\nLABEL n=$N\\n"
  args = { N = n }
  tags = ["many:\${n}"]
}
`;
const DOCKERFILE = `FROM base AS common
RUN echo common ran && cat /proc/sys/kernel/random/uuid > /common
FROM common AS one
RUN cp /common /one
FROM common AS two
ARG WORD
RUN cp /common /two && echo "$WORD" > /word
`;

describe.skipIf(why !== undefined)("bake", { timeout: 120_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");
  const project = join(folder.path, "project");
  const read = (...path: readonly string[]): string => readFileSync(join(project, ...path), "utf8").trim();

  beforeAll(() => {
    mkdirSync(project);
    mustKiln(store, ["import", busyboxRoot(folder.path), "base"]);
    writeFileSync(join(project, "docker-bake.hcl"), BAKE);
    writeFileSync(join(project, "Dockerfile"), DOCKERFILE);
  });
  afterAll(() => folder[Symbol.dispose]());

  test.each([{ flags: [] }, { flags: ["--no-cache"] }])("a shared stage runs and is shown once $flags", ({ flags }) => {
    const before = existsSync(join(project, "out-one", "one")) ? read("out-one", "one") : "";
    const { stderr } = mustKiln(store, ["bake", "--progress=plain", ...flags], { cwd: project });
    expect(stderr.match(/^#\d+ [\d.]+ common ran$/gm)).toHaveLength(1);
    expect(new Set(stderr.match(/^#\d+ \[(?:one|two) common 2\/2\] RUN /gm))).toHaveProperty("size", 1);
    expect(stderr).not.toContain("Waiting for another build");
    expect(read("out-one", "one")).toBe(read("out-two", "two"));
    expect(read("out-one", "one")).not.toBe(before);
    expect(read("out-two", "word")).toBe("first");
  });

  test("--set and --var give other values", () => {
    mustKiln(store, ["bake", "--var", "WORD=second", "two"], { cwd: project });
    expect(read("out-two", "word")).toBe("second");
    mustKiln(store, ["buildx", "bake", "--set", "two.args.WORD=third", "two"], { cwd: project });
    expect(read("out-two", "word")).toBe("third");
  });

  test("a target in contexts is built before its user", () => {
    mustKiln(store, ["bake", "user"], { cwd: project });
    expect(read("out-user", "taken")).toBe(read("out-one", "one"));
  });

  test("a matrix makes a target for each combination", () => {
    mustKiln(store, ["bake", "many", "--metadata-file", "made.json"], { cwd: project });
    expect(mustKiln(store, ["inspect", "-f", "{{.Config.Labels.n}}", "many:b"]).stdout.trim()).toBe("b");
    expect(Object.keys(JSON.parse(read("made.json")) as object).toSorted()).toEqual(["many-a", "many-b"]);
  });

  test("--print shows what would be built", () => {
    const { stdout } = mustKiln(store, ["bake", "--print", "many-a"], { cwd: project });
    expect(JSON.parse(stdout)).toEqual({
      group: { default: { targets: ["many-a"] } },
      target: {
        "many-a": {
          context: ".",
          dockerfile: "Dockerfile",
          "dockerfile-inline": "FROM scratch\nARG N\nLABEL n=$N\n",
          args: { N: "a" },
          tags: ["many:a"],
        },
      },
    });
  });

  test("--check reads an inline Dockerfile", () => {
    const { stdout } = mustKiln(store, ["bake", "--check", "many-a"], { cwd: project });
    expect(stdout).toContain("no warnings found");
  });

  test("an unknown target is an error that lists what there is", () => {
    const { status, stderr } = kiln(store, ["bake", "on"], { cwd: project });
    expect(status).toBe(1);
    expect(stderr).toContain('failed to find target on (did you mean "one"?)');
  });

  test("compose build builds the services with a build section", () => {
    const compose = join(folder.path, "compose");
    mkdirSync(join(compose, "web"), { recursive: true });
    writeFileSync(join(compose, ".env"), "GREETING=hello\n");
    writeFileSync(join(compose, "web/Dockerfile"), "FROM scratch\nARG G\nLABEL g=$G\n");
    writeFileSync(
      join(compose, "compose.yaml"),
      "name: shop\nservices:\n  web:\n    build:\n      context: ./web\n      args: { G: '${GREETING:-none}' }\n  db: { image: postgres }\n",
    );
    mustKiln(store, ["compose", "-f", "compose/compose.yaml", "--profile=x", "build"], { cwd: folder.path });
    expect(mustKiln(store, ["inspect", "-f", "{{.Config.Labels.g}}", "shop-web"]).stdout.trim()).toBe("hello");
  });
});
