import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import type { Option } from "commander";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Cli } from "../../src/cli/command.ts";
import { main } from "../../src/cli/main.ts";
import { createProgram } from "../../src/cli/program.ts";
import { cannotRun, testEnvironment } from "../support/environment.ts";
import { startTestRegistry } from "../support/registry.ts";

if (cannotRun !== undefined) console.warn(`skipped: hostile input: ${cannotRun}`);

/** The same cases each time; KILN_FUZZ=50 tries fifty times as many, with others. */
const MORE = Number(process.env["KILN_FUZZ"] ?? 1);
const runs = (count: number): fc.Parameters<unknown> =>
  MORE === 1 ? { seed: 20_261_130, numRuns: count } : { numRuns: count * MORE };

const NASTY = [
  ...[
    "",
    " ",
    "=",
    ",",
    ":",
    "/",
    ".",
    "..",
    "-",
    "--",
    "a",
    "0",
    "-1",
    "1e99",
    "a=b",
    "=b",
    "a=",
    "a,b",
    '"',
    '"a',
    "'",
    "\\",
  ],
  ...[
    "type=local",
    "type=local,dest=",
    "type=tar,dest=o",
    "type=oci,dest=o/p",
    "type=docker,dest=f",
    "type=image,name=A",
    "id=x",
  ],
  ...[
    "type=local,dest=f/g",
    "type=local,dest=\u202e",
    "type=oci,tar=false,dest=f",
    "id=s,src=f",
    "id=s,src=none",
    "id=s,env=HOME",
  ],
  ...[
    "__proto__",
    "constructor=1",
    "toString",
    "linux/amd64",
    "linux/a/b/c",
    "sha256:0",
    "a@sha256:00",
    "a:b:c",
    "A",
    "é",
    "\ud800",
  ],
  ...[
    "\u202e",
    "\u001b[2J",
    "x".repeat(300),
    "x/".repeat(2500),
    "f",
    "f/g",
    "none/g",
    "context",
    "context/Dockerfile",
    "1g",
    "99999999999999999999",
  ],
  ...[
    "{{.ID}}",
    "json",
    "true",
    "false",
    "default=f",
    "mode=max,version=v0.2",
    "type=provenance",
    "check,format=json",
    "outline",
    "nofile=1:2",
  ],
];
const nasty = fc.constantFrom(...NASTY);

describe.skipIf(cannotRun !== undefined)("no input reaches the message about a bug", { timeout: 600_000 }, () => {
  let home = "";
  let pristine = "";
  // Made once: it checks whether the compiled parts exist.
  const environment = testEnvironment(join(tmpdir(), "replaced"));

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "kiln-border-"));
    mkdirSync(join(home, "pristine/context"), { recursive: true });
    pristine = join(home, "pristine");
    writeFileSync(join(pristine, "f"), "a file\n");
    writeFileSync(join(pristine, "context/Dockerfile"), "FROM scratch AS only\nCOPY a /a\n");
    writeFileSync(join(pristine, "context/a"), "a");
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  const directory = (): string => join(home, "here");
  beforeEach(() => fresh());
  const fresh = (): void => {
    rmSync(directory(), { recursive: true, force: true });
    cpSync(pristine, directory(), { recursive: true });
  };

  /** Runs one command line in this process, in the directory of the test, and returns forbidden output. */
  const faults = async (argv: readonly string[], input?: Uint8Array, env: Readonly<Record<string, string>> = {}) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    stdout.resume();
    let told = "";
    stderr.setEncoding("utf8").on("data", (text: string) => (told += text));
    const status = await main(argv, {
      ...environment,
      env: { KILN_ROOT: join(directory(), "store"), DOCKER_CONFIG: directory(), ...env },
      workingDirectory: directory(),
      homeDirectory: directory(),
      partsDirectory: join(environment.addonPath, ".."),
      bundled: false,
      platform: process.platform,
      stdin: Readable.from(input === undefined ? [] : [input]),
      stdout,
      stderr,
      rawArguments: () => undefined,
      onUncaught: () => ({ [Symbol.dispose]: () => undefined }),
      onInterrupt: () => ({ [Symbol.dispose]: () => undefined }),
    });
    if (/bug in kiln|^ {4}at /m.test(told)) return told;
    return [0, 1, 125].includes(status) ? "" : `it ended with ${status}`;
  };

  test("command lines", async () => {
    // Without commands that ask registries or start programs of images.
    const COMMANDS = (await createProgram({} as Cli, [])).commands.filter(
      (one) => !/^(?:pull|push|shell|copy|login|registry-check|imagetools-.*|manifest-.*)$/.test(one.name()),
    );
    const OUTSIDE = new Set([
      "--push",
      "--cache-from",
      "--cache-to",
      "--pull",
      "--pull-policy",
      "--build-context",
      "--insecure",
    ]);
    const words = fc.constantFrom(...COMMANDS).chain((command) => {
      const flags = command.options.filter((option) => !OUTSIDE.has(option.long ?? ""));
      const one = (option: Option): fc.Arbitrary<readonly string[]> => {
        const name = option.long ?? option.short ?? "";
        const joined = nasty.map((value): readonly string[] => [`${name}=${value}`]);
        return option.required ? joined : fc.oneof(fc.constant([name]), joined);
      };
      const flag = flags.length === 0 ? fc.constant<readonly string[]>([]) : fc.constantFrom(...flags).chain(one);
      const operand = fc.oneof({ weight: 2, arbitrary: fc.constant("context") }, { weight: 1, arbitrary: nasty });
      return fc
        .tuple(fc.array(flag, { maxLength: 3 }), fc.array(operand, { maxLength: 3 }))
        .map(([some, operands]) => [command.name(), ...some.flat(), ...operands]);
    });
    await fc.assert(
      fc.asyncProperty(words, async (argv) => {
        fresh();
        expect(await faults(argv)).toBe("");
      }),
      runs(100),
    );
  });

  const piece = fc.oneof(
    nasty,
    fc.constantFrom(
      "FROM scratch",
      "FROM scratch AS a",
      "COPY a /b",
      "COPY --from=a",
      "ADD",
      "RUN",
      "ENV",
      "ARG",
      "LABEL",
      "WORKDIR",
      "USER",
      "EXPOSE",
    ),
    fc.constantFrom(
      "SHELL",
      "CMD",
      "ENTRYPOINT",
      "HEALTHCHECK",
      "STOPSIGNAL",
      "VOLUME",
      "ONBUILD",
      "MAINTAINER",
      "<<EOF",
      "EOF",
      '["a"',
      "]",
      "--chown=1:x",
    ),
    fc.constantFrom(
      "--mount=type=bind",
      "--mount=type=secret,id=s",
      "--link",
      "--chmod=999",
      "--exclude=[",
      "--parents",
      "$a",
      "${a:-$",
      "${a//[/}",
      "# syntax=x",
      "# escape=`",
      "# check=skip=all",
    ),
    fc.string({ maxLength: 12, unit: "binary" }),
  );
  const text = fc
    .array(fc.tuple(piece, fc.constantFrom(" ", "\n", "\n", " \\\n", "\t", "\r\n", "\0", "")))
    .map((parts) => parts.flat().join(""));

  test("Dockerfiles", async () => {
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (lines, isBegun) => {
        writeFileSync(join(directory(), "context/Dockerfile"), isBegun ? `FROM scratch\n${lines}` : lines);
        expect(
          await faults(["build", "context"], undefined, {
            HTTP_PROXY: "http://127.0.0.1:1",
            HTTPS_PROXY: "http://127.0.0.1:1",
          }),
        ).toBe("");
      }),
      runs(100),
    );
  });

  test("words of one instruction each", async () => {
    const names =
      "WORKDIR COPY ADD ENV ARG LABEL USER EXPOSE SHELL CMD ENTRYPOINT HEALTHCHECK STOPSIGNAL VOLUME ONBUILD".split(
        " ",
      );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.array(nasty, { maxLength: 3 }), async (name, given) => {
        const line = `${name} ${given.join(" ")}`.replaceAll(/[\n\0]/g, "");
        writeFileSync(join(directory(), "context/Dockerfile"), `FROM scratch\n${line}\n`);
        expect(await faults(["build", "context"])).toBe("");
      }),
      runs(100),
    );
  });

  test("ignore files", async () => {
    const pattern = fc.oneof(
      nasty,
      fc.constantFrom(
        "!",
        "!!a",
        "[",
        "[a",
        "[]",
        "[b-a]",
        "**",
        "**/",
        "!**",
        "a/../..",
        "\\",
        "a\\",
        "*".repeat(500),
        "{a,b",
        "# x",
      ),
      fc.string({ unit: "binary", maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pattern), async (lines) => {
        writeFileSync(join(directory(), "context/.dockerignore"), lines.join("\n"));
        expect(await faults(["build", "context"])).toBe("");
      }),
      runs(40),
    );
  });

  /** Makes bytes with some replaced, removed or inserted. */
  const damaged = (bytes: Buffer): fc.Arbitrary<Buffer> =>
    fc
      .array(
        fc.tuple(
          fc.nat(bytes.length - 1),
          fc.oneof(
            fc.uint8Array({ minLength: 1, maxLength: 12 }),
            fc.constant("cut" as const),
            fc.constant("drop" as const),
          ),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((edits) =>
        edits.reduce((whole, [place, edit]) => {
          if (edit === "cut") return whole.subarray(0, place);
          if (edit === "drop") return Buffer.concat([whole.subarray(0, place), whole.subarray(place + 512)]);
          const copy = Buffer.from(whole);
          copy.set(edit.slice(0, Math.max(0, copy.length - place)), Math.min(place, copy.length));
          return copy;
        }, bytes),
      );

  test("contexts and archives on standard input", async () => {
    mkdirSync(join(directory(), "tree/d"), { recursive: true });
    cpSync(join(pristine, "context"), join(directory(), "tree"), { recursive: true });
    execFileSync("ln", ["-s", "../a", join(directory(), "tree/d/link")]);
    execFileSync("mkfifo", [join(directory(), "tree/pipe")]);
    const tar = execFileSync("tar", [
      "-c",
      "--format=pax",
      "--pax-option=SCHILY.xattr.user.x=1,comment=é",
      "-C",
      join(directory(), "tree"),
      ".",
    ]);
    expect(await faults(["build", "-o", "type=docker,dest=image.tar", "-t", "app", "context"])).toBe("");
    const image = readFileSync(join(directory(), "image.tar"));
    for (const [bytes, argv] of [
      [tar, ["build", "-"]],
      [tar, ["import", "-", "x"]],
      [image, ["load"]],
    ] as const) {
      await fc.assert(
        fc.asyncProperty(damaged(bytes), async (input) => {
          expect(await faults(argv, input)).toBe("");
        }),
        runs(40),
      );
    }
  });

  test("config.json and daemon.json", async () => {
    await using registry = await startTestRegistry();
    const { host } = registry;
    const value = fc.oneof(
      nasty,
      fc.jsonValue({ maxDepth: 2 }),
      fc.constant("bWU6c2VjcmV0"),
      fc.constant({ auth: "bWU6" }),
      fc.constant({ [host]: { auth: 1 } }),
      fc.constant([`http://${host}`, "x:y:z", 3]),
    );
    const key = fc.constantFrom(
      "auths",
      "credsStore",
      "credHelpers",
      "proxies",
      "HttpHeaders",
      "registry-mirrors",
      "insecure-registries",
      host,
    );
    const config = fc.oneof(
      fc.dictionary(key, value).map((one) => JSON.stringify(one)),
      fc.string({ maxLength: 20 }),
      fc.constantFrom("", "null", "[]", "{", "0", "\ufeff{}"),
    );
    mkdirSync(join(directory(), ".config/docker"), { recursive: true });
    await fc.assert(
      fc.asyncProperty(config, async (json) => {
        writeFileSync(join(directory(), "config.json"), json);
        writeFileSync(join(directory(), ".config/docker/daemon.json"), json);
        expect(await faults(["build", "context"])).toBe("");
        expect(await faults(["pull", `${host}/team/app:1`])).toBe("");
      }),
      runs(40),
    );
  });

  test("damaged stores", async () => {
    expect(await faults(["build", "-t", "app", "context"])).toBe("");
    const store = join(directory(), "store");
    const whole = join(home, "whole-store");
    cpSync(store, whole, { recursive: true });
    const entries = readdirSync(whole, { recursive: true, encoding: "utf8" }).toSorted();
    const how = fc.constantFrom("gone", "file", "directory", "garbage", "short");
    const command = fc.constantFrom(
      ...[
        "images",
        "du --verbose",
        "prune --dry-run",
        "prune",
        "fsck",
        "fsck --repair",
        "why",
        "inspect app",
        "history app",
        "rmi app",
        "tag app b",
      ],
      ...[
        "build context",
        "build --no-cache -t app context",
        "build -o out context",
        "build -o type=oci,dest=o.tar context",
        "save -o s.tar app",
      ],
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom(...entries), how), { minLength: 1, maxLength: 3 }),
        fc.array(command, { minLength: 1, maxLength: 3 }),
        async (damages, lines) => {
          rmSync(store, { recursive: true, force: true });
          cpSync(whole, store, { recursive: true });
          for (const [entry, kind] of damages) damage(join(store, entry), kind);
          for (const line of lines) expect(await faults(line.split(" "))).toBe("");
        },
      ),
      runs(40),
    );
  });
});

function damage(path: string, kind: string): void {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return;
  const bytes = status.isFile() ? readFileSync(path) : Buffer.alloc(64);
  rmSync(path, { recursive: true });
  if (kind === "directory") mkdirSync(path);
  if (kind === "file") writeFileSync(path, "");
  if (kind === "short") writeFileSync(path, bytes.subarray(0, bytes.length / 2));
  if (kind === "garbage")
    writeFileSync(
      path,
      bytes.map((byte, index) => (index % 7 === 3 ? byte ^ 0xff : byte)),
    );
}
