import { describe, expect, test } from "vitest";
import { BuildError } from "../lib/core/errors.ts";
import { SourceText } from "../lib/core/span.ts";
import { convert, failure, resolverOf, warningsOf } from "./convert/convert.fixture.ts";
import { type ConvertOptions, NO_FLAGS } from "./convert/options.ts";
import { parseDockerfile } from "./parse.ts";
import { lintDockerfile, lintJson, warningsAbove } from "./check.ts";

const context = (...excludes: readonly string[]): Partial<ConvertOptions> => ({
  context: { kind: "local", name: "context", excludes },
});

test.each([
  {
    rule: "StageNameCasing",
    text: "FROM scratch AS Build\n",
    warnings: ["1 StageNameCasing: Stage name 'Build' should be lowercase"],
  },
  {
    rule: "FromAsCasing",
    text: "FROM scratch as a\n",
    warnings: ["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"],
  },
  {
    rule: "FromAsCasing, lower",
    text: "from scratch AS a\n",
    warnings: ["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"],
  },
  { rule: "FromAsCasing, equal", text: "from scratch as a\n", warnings: [] },
  {
    rule: "NoEmptyContinuation",
    text: "FROM busybox\nRUN a && \\\n\n  b\n",
    warnings: ["4 NoEmptyContinuation: Empty continuation line"],
  },
  {
    rule: "ConsistentInstructionCasing",
    text: "FROM scratch\nLABEL a=b\nlabel c=d\n",
    warnings: [
      "3 ConsistentInstructionCasing: Command 'label' should match the case of the command majority (uppercase)",
    ],
  },
  {
    rule: "ConsistentInstructionCasing, mixed",
    text: "FROM scratch\nLabel a=b\n",
    warnings: [
      "2 ConsistentInstructionCasing: Command 'Label' should match the case of the command majority (uppercase)",
    ],
  },
  {
    rule: "ConsistentInstructionCasing, lower",
    text: "from scratch\nlabel a=b\nLABEL c=d\n",
    warnings: [
      "3 ConsistentInstructionCasing: Command 'LABEL' should match the case of the command majority (lowercase)",
    ],
  },
  {
    rule: "DuplicateStageName",
    text: "FROM scratch AS a\nFROM scratch AS A\n",
    warnings: [
      '2 DuplicateStageName: Duplicate stage name "a", stage names should be unique',
      "2 StageNameCasing: Stage name 'A' should be lowercase",
    ],
  },
  {
    rule: "ReservedStageName",
    text: "FROM scratch AS context\n",
    warnings: ['1 ReservedStageName: Stage name should not use the same name as reserved stage "context"'],
  },
  {
    rule: "JSONArgsRecommended",
    text: "FROM scratch\nCMD a\nENTRYPOINT b\n",
    warnings: [
      "2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
      "3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals",
    ],
  },
  { rule: "JSONArgsRecommended, with a shell", text: 'FROM scratch\nSHELL ["/x"]\nCMD a\n', warnings: [] },
  {
    rule: "MaintainerDeprecated",
    text: "FROM scratch\nMAINTAINER x\n",
    warnings: ["2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"],
  },
  {
    rule: "UndefinedArgInFrom",
    text: "ARG BASE=scratch\nFROM ${BAS:-scratch}\n",
    warnings: ["2 UndefinedArgInFrom: FROM argument 'BAS' is not declared (did you mean BASE?)"],
  },
  { rule: "UndefinedArgInFrom, declared empty", text: "ARG B\nFROM ${B:-scratch}\n", warnings: [] },
  {
    rule: "UndefinedVar",
    text: "FROM scratch\nENV VERSION=1\nLABEL v=$VERSON\n",
    warnings: ["3 UndefinedVar: Usage of undefined variable '$VERSON' (did you mean $VERSION?)"],
  },
  {
    rule: "UndefinedVar, without a guess",
    text: "FROM scratch\nLABEL v=$QQQQQQQ\n",
    warnings: ["2 UndefinedVar: Usage of undefined variable '$QQQQQQQ'"],
  },
  { rule: "UndefinedVar, declared", text: "FROM scratch\nARG V\nLABEL v=$V\n", warnings: [] },
  {
    rule: "UndefinedVar, in a here-document",
    text: "FROM scratch\nCOPY <<F /f\n$NONE\nF\n",
    warnings: ["2 UndefinedVar: Usage of undefined variable '$NONE'"],
  },
  {
    rule: "WorkdirRelativePath",
    text: "FROM scratch\nWORKDIR a\nWORKDIR b\n",
    warnings: ['2 WorkdirRelativePath: Relative workdir "a" can have unexpected results if the base image changes'],
  },
  { rule: "WorkdirRelativePath, on absolute", text: "FROM scratch\nWORKDIR /a\nWORKDIR b\n", warnings: [] },
  {
    rule: "MultipleInstructionsDisallowed",
    text: 'FROM scratch\nCMD ["a"]\nCMD ["b"]\nFROM scratch\nCMD ["c"]\n',
    stages: "all" as const,
    warnings: [
      "2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the last one will be used",
    ],
  },
  {
    rule: "LegacyKeyValueFormat",
    text: "FROM scratch\nENV a b\nLABEL c d\n",
    warnings: [
      '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
      '3 LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
    ],
  },
  {
    rule: "RedundantTargetPlatform",
    text: "FROM --platform=$TARGETPLATFORM scratch\n",
    warnings: [
      "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ],
  },
  {
    rule: "FromPlatformFlagConstDisallowed",
    text: "FROM --platform=linux/arm64 scratch AS x\n",
    warnings: ['1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/arm64"'],
  },
  {
    rule: "FromPlatformFlagConstDisallowed, named for it",
    text: "FROM --platform=linux/arm64 scratch AS build-arm64\n",
    warnings: [],
  },
  {
    rule: "SecretsUsedInArgOrEnv",
    text: "FROM scratch\nARG API_KEY\nENV DB_PASSWORD=x PUBLIC_KEY=y TOKENS=z\n",
    warnings: [
      '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")',
      '3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "DB_PASSWORD")',
    ],
  },
  {
    rule: "CopyIgnoredFile, the root",
    text: "FROM scratch\nCOPY . .\nADD / /d/\n",
    options: context(".*", "b"),
    warnings: [],
  },
  {
    rule: "CopyIgnoredFile, the root and everything",
    text: "FROM scratch\nCOPY ./ /d/\n",
    options: context("**/*"),
    warnings: ['2 CopyIgnoredFile: Attempting to Copy file "." that is excluded by .dockerignore'],
  },
  {
    rule: "InvalidDefinitionDescription, the last line of a comment",
    text: "# check=experimental=all\nFROM scratch\n# A one\n# more\nARG A\n# more\n# B\nARG B\n# C x\nARG B C\n# x\nARG D E\n",
    warnings: [
      "5 InvalidDefinitionDescription: Comment for ARG should follow the format: `# A <description>`",
      "12 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
    ],
  },
  {
    rule: "InvalidDefaultArgInFrom",
    text: "ARG V\nFROM busybox:$V\n",
    buildArgs: { V: "latest" },
    warnings: [
      "2 InvalidDefaultArgInFrom: Default value for ARG busybox:$V results in empty or invalid base image name",
    ],
  },
  {
    rule: "CopyIgnoredFile",
    text: "FROM scratch\nCOPY a/x b /d/\nADD a /d/\n",
    options: context("a"),
    warnings: [
      '2 CopyIgnoredFile: Attempting to Copy file "a/x" that is excluded by .dockerignore',
      '3 CopyIgnoredFile: Attempting to Add file "a" that is excluded by .dockerignore',
    ],
  },
  {
    rule: "CopyIgnoredFile, with exceptions",
    text: "FROM scratch\nCOPY a /d/\n",
    options: context("a", "!a/x"),
    warnings: [],
  },
  {
    rule: "CopyIgnoredFile, from a stage",
    text: "FROM scratch AS s\nLABEL a=b\nFROM scratch\nCOPY --from=s a /d/\n",
    options: context("a"),
    warnings: [],
  },
  {
    rule: "CopyIgnoredFile, the whole context",
    text: "FROM scratch\nCOPY . /d/\n",
    options: context("a"),
    warnings: [],
  },
  {
    rule: "CopyIgnoredFile, all of it",
    text: "FROM scratch\nCOPY . /d/\n",
    options: context("*"),
    warnings: ['2 CopyIgnoredFile: Attempting to Copy file "." that is excluded by .dockerignore'],
  },
  { rule: "InvalidDefinitionDescription, off", text: "# what\nFROM scratch AS a\n", warnings: [] },
  {
    rule: "InvalidDefinitionDescription",
    text: "# check=experimental=all\n\n# what\nARG A=1\n# a is it\nFROM scratch AS a\n",
    warnings: ["4 InvalidDefinitionDescription: Comment for ARG should follow the format: `# A <description>`"],
  },
  {
    rule: "ExposeProtoCasing",
    text: "FROM scratch\nEXPOSE 80/TCP\n",
    warnings: ["2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
  },
  {
    rule: "ExposeInvalidFormat",
    text: "FROM scratch\nEXPOSE 127.0.0.1:80:80\n",
    warnings: [
      "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
    ],
  },
  {
    rule: "none, skipped by the file",
    text: "# check=skip=StageNameCasing,FromAsCasing\nFROM scratch as B\n",
    warnings: [],
  },
  { rule: "none, all skipped", text: "# check=skip=all\nFROM scratch as B\nMAINTAINER x\n", warnings: [] },
  {
    rule: "one, the other skipped above it",
    text: "FROM scratch\n# check=skip=UndefinedVar\nLABEL v=$A\nLABEL w=$A\n",
    warnings: ["4 UndefinedVar: Usage of undefined variable '$A'"],
  },
  {
    rule: "none, skipped by a build arg",
    text: "# check=error=true\nFROM scratch as B\n",
    buildArgs: { BUILDKIT_DOCKERFILE_CHECK: "skip=all" },
    warnings: [],
  },
])("finds $rule", async ({ text, warnings, ...more }) => {
  const buildArgs = new Map(Object.entries(("buildArgs" in more && more.buildArgs) || {}));
  const options = ("options" in more && more.options) || {};
  const stages = "stages" in more && more.stages ? { stages: more.stages } : {};
  expect(warningsOf(await convert(text, { ...options, ...stages, buildArgs }))).toEqual(warnings);
});

test("error=true turns findings into a failure that names the rules in order", async () => {
  const error = await failure(convert("# check=error=true\nFROM scratch as B\nMAINTAINER x\n"));
  expect([error.code, error.message]).toEqual([
    "dockerfile/checks-failed",
    "Lint violation found for rules: FromAsCasing, MaintainerDeprecated, StageNameCasing",
  ]);
});

test("a stage that is not built is checked as text only", async () => {
  expect(warningsOf(await convert("FROM scratch AS Un\nLABEL v=$A\nFROM scratch\n"))).toEqual([
    "1 StageNameCasing: Stage name 'Un' should be lowercase",
  ]);
});

async function lint(text: string): ReturnType<typeof lintDockerfile> {
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", text));
  const options: ConvertOptions = {
    ...NO_FLAGS,
    buildPlatform: { os: "linux", architecture: "amd64" },
    context: { kind: "scratch" },
  };
  return lintDockerfile(dockerfile, options, resolverOf({}), new AbortController().signal);
}

test("--check covers all stages, and an error does not hide earlier findings", async () => {
  const result = await lint("FROM scratch AS a\nLABEL v=$A\nFROM scratch\nSTOPSIGNAL NONE\n");
  expect(warningsOf(result)).toEqual(["2 UndefinedVar: Usage of undefined variable '$A'"]);
  expect(result.error?.message).toMatch(/invalid signal/);
});

test("the result as JSON", async () => {
  const text = "FROM scratch\nMAINTAINER x\n";
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", text));
  expect(JSON.parse(JSON.stringify(lintJson(await lint(text), dockerfile.source)))).toEqual({
    warnings: [
      {
        ruleName: "MaintainerDeprecated",
        description: expect.stringContaining("MAINTAINER is outdated"),
        url: "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/",
        detail: "Maintainer instruction is deprecated in favor of using label",
        location: { ranges: [{ start: { line: 2 }, end: { line: 2 } }] },
      },
    ],
    sources: [{ filename: "Dockerfile", language: "Dockerfile", data: Buffer.from(text).toString("base64") }],
  });
});

test.each([
  {
    text: "# check=error=true\nFROM scratch as B\n",
    buildError: { message: expect.stringMatching(/^Lint violation found/), location: {} },
  },
  { text: "# check=error=true\nFROM scratch AS b\n", buildError: undefined },
  { text: "FROM scratch as B\n", buildError: undefined },
])("error=true is in the JSON of $text", async ({ text, buildError }) => {
  const dockerfile = parseDockerfile(new SourceText("Dockerfile", text));
  const json: unknown = JSON.parse(JSON.stringify(lintJson(await lint(text), dockerfile.source)));
  expect(json).toMatchObject(buildError === undefined ? {} : { buildError });
  expect(Object.hasOwn(Object(json), "buildError")).toBe(buildError !== undefined);
});

test("unreadable check options are a finding of --check", async () => {
  const result = await lint("# check=skp=all\nFROM scratch AS B\n");
  expect([result.warnings, result.error?.code]).toEqual([[], "dockerfile/syntax"]);
});

describe("above an instruction that cannot be read", () => {
  const rulesAbove = (text: string, buildArgs: ReadonlyMap<string, string> = new Map()): string[] => {
    const error = caughtError(() => parseDockerfile(new SourceText("Dockerfile", text)));
    return warningsAbove(error, { buildArgs }).map(({ rule, span }) => `${rule}:${span.start.line}`);
  };
  const caughtError = (work: () => unknown): BuildError => {
    try {
      work();
    } catch (error) {
      if (error instanceof BuildError) return error;
      throw error;
    }
    throw new Error("the text can be read");
  };
  const START = "FROM scratch AS base\nMAINTAINER me\nENV a b\n";

  test.each([
    {
      name: "an unknown instruction",
      text: `${START}COPI x y\nMAINTAINER you\n`,
      rules: ["MaintainerDeprecated:2", "LegacyKeyValueFormat:3"],
    },
    {
      name: "a flag in a continued line",
      text: `${START}COPY \\\n  --nosuch=1 \\\n  a b\n`,
      rules: ["MaintainerDeprecated:2", "LegacyKeyValueFormat:3"],
    },
    { name: "the first instruction", text: "COPI a b\nFROM scratch\n", rules: [] },
    { name: "checks that the file skips", text: `# check=skip=all\n${START}COPI x\n`, rules: [] },
  ])("warnings are told: $name", ({ text, rules }) => {
    expect(rulesAbove(text)).toEqual(rules);
  });

  test("the user's choice of checks counts", () => {
    const chosen = new Map([["BUILDKIT_DOCKERFILE_CHECK", "skip=MaintainerDeprecated"]]);
    expect(rulesAbove(`${START}COPI x\n`, chosen)).toEqual(["LegacyKeyValueFormat:3"]);
  });
});
