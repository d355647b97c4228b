import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missing, mustKiln, temporary } from "../e2e/harness.ts";
import { importBusybox, writeContext } from "./kiln-process.ts";

const why = missing("busybox");
if (why !== undefined) console.warn(`tests of times in cached results are skipped: ${why}`);

interface Case {
  readonly name: string;
  readonly lines: readonly string[];
  /** Arguments of the builds, in order. */
  readonly builds: readonly (readonly string[])[];
}

const epoch = (seconds: number): string[] => ["--build-arg", `SOURCE_DATE_EPOCH=${seconds}`];
const date = (text: string): string[] => [...epoch(1000), "--build-arg", `D=${text}`];
const dated = (lines: readonly string[]): string[] => ["ARG D", 'RUN touch -d "$D" /f', ...lines];
/** A command that leaves no file with the time of the build. */
const QUIET = "RUN cat /f >/dev/null";

// The rule: a warm store gives the same result as an empty one. No file in these images has the time of its build.
const CASES: readonly Case[] = [
  {
    name: "a time that a command sets",
    lines: ["RUN echo hi > /f && touch -d @5 /f", ...dated([])],
    builds: [date("2001-01-01 00:00:00"), date("2002-02-02 00:00:00"), date("2001-01-01 00:00:00")],
  },
  {
    name: "a comparison of times behind it",
    lines: [
      "RUN touch -d @1000000000 /g && touch -d @0 /f",
      ...dated(["RUN if [ /f -nt /g ]; then ln -s newer /seen; else ln -s older /seen; fi; touch -hd @7 /seen"]),
    ],
    builds: [date("2000-01-01 00:00:00"), date("2010-01-01 00:00:00")],
  },
  {
    name: "a file of a stage that a command dated",
    lines: [...dated([]), "FROM busybox", "COPY --from=0 /f /f"],
    builds: [date("2001-01-01 00:00:00"), date("2002-02-02 00:00:00")],
  },
  {
    name: "a directory of a stage that a command dated",
    lines: [
      "ARG D",
      'RUN mkdir -p /s/d && touch -d "$D" /s/d && touch -d @9 /s',
      "FROM busybox",
      "COPY --from=0 /s /s",
    ],
    builds: [date("2001-01-01 00:00:00"), date("2002-02-02 00:00:00")],
  },
  {
    name: "a bind mount of a stage that a command dated",
    lines: [
      ...dated([]),
      "FROM busybox",
      "RUN --mount=from=0,source=/f,target=/m/f cp -p /m/f /f; rmdir /m 2>/dev/null; touch -d @3 /f.seen",
    ],
    builds: [date("2001-01-01 00:00:00"), date("2002-02-02 00:00:00")],
  },
  {
    name: "an epoch, with a command behind a new directory",
    lines: ["WORKDIR /a/b", "RUN ln -s x y && touch -hd @7 y && touch -d @8 /a/b"],
    builds: [epoch(1000), epoch(2000)],
  },
  {
    name: "an epoch, with a copied file that a command changes",
    lines: ["WORKDIR /d", "COPY f /d/f", "RUN chmod 600 /d/f"],
    builds: [epoch(1000), epoch(2000)],
  },
  {
    name: "a file of a stage that goes through another",
    lines: [
      ...dated([]),
      "FROM busybox",
      "COPY --from=0 /f /f",
      "RUN if [ /f -nt /bin/busybox ]; then echo newer >/seen; else echo older >/seen; fi; touch -d @7 /seen",
      "FROM busybox",
      "WORKDIR /d",
      "COPY --from=1 /f /seen /d/",
    ],
    builds: [date("1999-01-01 00:00:00"), date("2037-02-02 00:00:00")],
  },
  {
    name: "an epoch, with a command behind the copy",
    lines: ["COPY f /f", QUIET],
    builds: [epoch(1000), epoch(2000), epoch(1000)],
  },
  {
    name: "an epoch, with copies behind a command",
    lines: ["WORKDIR /d", "COPY f /f", QUIET, "COPY f /d/g", QUIET, "COPY --link f /h"],
    builds: [epoch(1000), epoch(2000)],
  },
];

describe.skipIf(why !== undefined)("times in cached results", { timeout: 120_000 }, () => {
  const temporaryFolder = temporary();
  const folder = temporaryFolder.path;
  const store = join(folder, "store");
  const context = join(folder, "context");
  beforeAll(() => {
    importBusybox(store, join(folder, "scratch"));
    execFileSync("cp", ["-a", store, join(folder, "empty")]);
  });
  afterAll(() => temporaryFolder[Symbol.dispose]());

  function imageIn(root: string, args: readonly string[], ...more: readonly string[]): string {
    const tar = join(folder, "image.tar");
    const output = `type=docker,dest=${tar}${args.includes("rewrite") ? ",rewrite-timestamp=true" : ""}`;
    const given = args.filter((arg) => arg !== "rewrite");
    mustKiln(root, ["build", "-q", ...given, ...more, "-o", output, context]);
    return readFileSync(tar).toString("base64");
  }
  /** Makes a store with the base image and nothing else. */
  function emptyStore(): string {
    const root = join(folder, "other");
    rmSync(root, { recursive: true, force: true });
    execFileSync("cp", ["-a", join(folder, "empty"), root]);
    return root;
  }
  const cold = (args: readonly string[]): string => imageIn(emptyStore(), args);
  const write = (lines: readonly string[]): string =>
    writeContext(context, { Dockerfile: ["FROM busybox", ...lines, ""].join("\n"), f: "f\n" });

  for (const { name, lines, builds } of CASES) {
    for (const rewrite of name.startsWith("an epoch") ? [false, true] : [false]) {
      test(`${name}${rewrite ? ", rewritten" : ""}`, () => {
        write(lines);
        for (const args of builds) {
          const all = rewrite ? [...args, "rewrite"] : args;
          expect(imageIn(store, all) === cold(all), args.join(" ")).toBe(true);
        }
      });
    }
  }

  test("another machine's results are no other than one's own", () => {
    write(dated([QUIET]));
    const cache = `type=local,dest=${join(folder, "cache")},mode=max`;
    const [one, two] = [date("2001-01-01 00:00:00"), date("2002-02-02 00:00:00")];
    imageIn(store, one, "--cache-to", cache);
    const other = emptyStore();
    const from = ["--cache-from", `type=local,src=${join(folder, "cache")}`];
    expect(imageIn(other, two, ...from) === cold(two)).toBe(true);
    expect(imageIn(other, one, ...from) === cold(one)).toBe(true);
  });

  test("a stage that is ordered to run gives its own result", () => {
    write(["FROM busybox AS made", "RUN echo x > /f", "FROM made", "RUN cat /f > /g", ""]);
    const time = (...args: string[]): string => {
      mustKiln(store, ["build", "-q", "-t", "app", ...args, context]);
      return mustKiln(store, ["run", "--rm", "app", "stat", "-c", "%y", "/f"]).stdout;
    };
    const first = time();
    expect(time()).toBe(first);
    expect(time("--no-cache-filter", "made")).not.toBe(first);
    expect(time("--no-cache")).not.toBe(first);
  });
});
