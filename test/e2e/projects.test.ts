import { appendFileSync, cpSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { busyboxRoot, debianTar, kiln, missing, mustKiln, type Outcome, PROJECT, temporary } from "./harness.ts";

const why = missing("busybox", "mmdebstrap");
if (why !== undefined) console.warn(`the tests of whole projects are skipped: ${why}`);

/** The file `expect.json` of a project; see testdata/projects/README.md. */
interface Expected {
  readonly contexts: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly stdout: string;
  readonly change: { readonly file: string; readonly append: string } | null;
  readonly reruns: readonly string[];
}

const projects = join(PROJECT, "testdata/projects");

describe.skipIf(why !== undefined)("projects in the style of real ones", { timeout: 600_000 }, () => {
  const folder = temporary();
  const store = join(folder.path, "store");

  beforeAll(() => {
    mustKiln(store, ["import", busyboxRoot(folder.path), "busybox"]);
    mustKiln(store, ["import", debianTar(), "debian:bookworm"]);
    mustKiln(store, ["build", "-q", "-t", "toolchain", join(projects, "toolchain")]);
    mustKiln(store, ["build", "-q", "-t", "distroless", "--target", "base", join(projects, "distroless-targets")]);
  }, 600_000);
  afterAll(() => folder[Symbol.dispose]());

  test.each(readdirSync(projects).filter((name) => !/^(?:toolchain|README\.md)$/.test(name)))("%s", (name) => {
    const context = join(folder.path, name);
    cpSync(join(projects, name), context, { recursive: true });
    const { contexts, args = [], env = {}, stdout, change, reruns } = expectedOf(context);
    const images = Object.entries(contexts).flatMap(([image, ours]) => [
      "--build-context",
      `${image}=docker-image://${ours}`,
    ]);
    const build = (...more: readonly string[]): Outcome =>
      kiln(store, ["build", "--progress", "plain", "-t", name, ...images, ...args, ...more, "."], {
        cwd: context,
        env,
      });

    const first = build();
    expect(first.status, first.stderr).toBe(0);
    expect(mustKiln(store, ["run", name]).stdout).toBe(stdout);
    expect(build("--expect-cached").status).toBe(0);
    if (change === null) return;
    appendFileSync(join(context, change.file), change.append);
    const again = build();
    expect(again.status, again.stderr).toBe(0);
    const named = reruns.map((step) => step.replaceAll("{arch}", process.arch === "x64" ? "amd64" : process.arch));
    expect(stepsThatRan(again.stderr)).toEqual(named.toSorted());
  });

  test("leave a whole store", () => {
    expect(kiln(store, ["fsck"])).toMatchObject({ status: 0, stdout: expect.stringContaining(" 0 problems") });
  });
});

function expectedOf(context: string): Expected {
  return JSON.parse(readFileSync(join(context, "expect.json"), "utf8")) as Expected;
}

/** Lists the instructions of a plain progress output that were not cached, in the order of their names. */
function stepsThatRan(output: string): readonly string[] {
  const steps = [...output.matchAll(/^#(\d+) \[(?!internal)(?:.*? )?\d+\/\d+\] (.*)$/gm)];
  const isRun = (number = ""): boolean => new RegExp(`^#${number} why:`, "m").test(output);
  const names = steps.filter(([, number]) => isRun(number)).map(([, , name = ""]) => name);
  return [...new Set(names)].filter((name) => !name.startsWith("FROM ")).toSorted();
}
