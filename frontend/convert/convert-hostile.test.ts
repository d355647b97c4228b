import fc from "fast-check";
import { expect, test } from "vitest";
import { BuildError } from "../../lib/core/errors.ts";
import { convert } from "./convert.fixture.ts";

/** `ok`, or the code of the error. Anything else that is thrown is a crash. */
async function outcome(text: string): Promise<string> {
  try {
    await convert(text, { stages: "all" });
    return "ok";
  } catch (error) {
    if (error instanceof BuildError) return error.code;
    throw error;
  }
}

const LINES = [
  ...[
    "FROM busybox",
    "FROM rich AS a",
    "FROM scratch AS b",
    "FROM a",
    "FROM ${X:-a}",
    "FROM --platform=$TARGETPLATFORM rich",
  ],
  ...["ARG X", "ARG X=a Y=$X", "ENV X=$X$X Y=1", "ENV X $Y", "LABEL a=$X", "ARG ${X}=1", "ENV $X=1"],
  ...["RUN make $X", "RUN <<E\n$X\nE", "RUN <<'E' cat\nb\nE", 'RUN ["a"]', "RUN --mount=from=a,target=$X make"],
  ...["RUN --mount=type=cache,target=/c,id=$X", "RUN --mount=type=secret,id=s,env=X env", "RUN --network=none x"],
  ...[
    "COPY a b $X/",
    "COPY --from=a / /",
    "COPY --from=0 /x /y",
    "COPY --from=1 a b",
    "COPY --link --chown=$X:1 a /b/",
  ],
  ...[
    "COPY <<E /f\n$X ${X#a} ${X\nE",
    "COPY --parents ./a/./b /",
    "COPY --chmod=$X a b",
    "ADD https://x/y.tar /",
    "ADD $X /",
  ],
  ...["WORKDIR $X", "WORKDIR /a/../$Y", "USER $X", "EXPOSE $X 80-90/udp", "VOLUME $X", "STOPSIGNAL $X", 'SHELL ["$X"]'],
  ...[
    "ONBUILD RUN $X",
    "ONBUILD COPY --from=a / /",
    "HEALTHCHECK CMD $X",
    "HEALTHCHECK NONE",
    "CMD $X",
    "ENTRYPOINT x",
  ],
  ...["# check=skip=all", "# X is y", "MAINTAINER $X"],
];

test("no order of instructions makes the conversion crash", async () => {
  const file = fc
    .array(fc.constantFrom(...LINES), { maxLength: 25 })
    .map((lines) => ["FROM rich AS a", ...lines, ""].join("\n"));
  await fc.assert(
    fc.asyncProperty(file, async (text) => {
      expect(await outcome(text)).not.toBe("");
    }),
    { numRuns: 2000 },
  );
});

const many = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => `${line(index)}\n`).join("");

test.each([
  { name: "variables, a command behind each", text: many(5000, (n) => `ENV V${n}=${n}\nRUN ${n}`), ends: "ok" },
  { name: "build arguments, a command behind each", text: many(2000, (n) => `ARG A${n}=${n}\nRUN ${n}`), ends: "ok" },
  { name: "labels", text: `LABEL ${many(20_000, (n) => `l${n}=v \\`)} z=1\n`, ends: "ok" },
  {
    name: "stages on each other",
    text: many(3000, (n) => `FROM ${n === 0 ? "s" : `s${n - 1}`} AS s${n}\nENV V${n}=1\nRUN x`),
    ends: "ok",
  },
  {
    name: "stages that copy from each other",
    text: many(3000, (n) => `FROM scratch AS s${n}\nCOPY --from=${n} / /`),
    ends: "ok",
  },
  { name: "triggers", text: `${many(3000, (n) => `ONBUILD RUN ${n}`)}FROM s\n`, ends: "ok" },
  { name: "mounts", text: `RUN ${many(6000, (n) => `--mount=type=tmpfs,target=/${n} \\`)} x\n`, ends: "ok" },
  { name: "sources", text: `COPY \\\n${many(20_000, (n) => `f${n} \\`)} /d/\n`, ends: "ok" },
  {
    name: "here-documents with variables",
    text: `COPY <<E /f\n${"$PATH ${X:-$PATH}\n".repeat(10_000)}E\n`,
    ends: "ok",
  },
  { name: "nested substitutions", text: `ENV X=${"${u:-".repeat(499)}x${"}".repeat(499)}\n`, ends: "ok" },
  {
    name: "too deeply nested substitutions",
    text: `ENV X=${"${u:-".repeat(5000)}x${"}".repeat(5000)}\n`,
    ends: "dockerfile/expansion",
  },
  {
    name: "values that double",
    text: `ENV X=xxxxxxxxxxxxxxxx\n${many(60, () => "ENV X=$X$X")}`,
    ends: "dockerfile/expansion",
  },
  {
    name: "labels that name one long value",
    text: `ARG X=xxxxxxxxxxxxxxxx\n${many(17, () => "ARG X=$X$X")}LABEL ${many(500, (n) => `l${n}=$X \\`)} z=1\n`,
    ends: "dockerfile/expansion",
  },
  {
    name: "lines before one that fails",
    text: `COPY <<E /f\n${"some words\n".repeat(100_000)}\${NONE?none}\nE\n`,
    ends: "dockerfile/expansion",
  },
  {
    name: "commands after one long value",
    text: `ARG X=xxxxxxxxxxxxxxxx\n${many(17, () => "ARG X=$X$X")}${many(500, (n) => `RUN ${n}`)}`,
    ends: "dockerfile/expansion",
  },
  {
    name: "here-documents that name one long value",
    text: `ARG X=xxxxxxxxxxxxxxxx\n${many(17, () => "ARG X=$X$X")}${many(500, (n) => `COPY <<E /f${n}\n$X\nE`)}`,
    ends: "dockerfile/expansion",
  },
  { name: "ports", text: "EXPOSE 1-65535\n".repeat(20), ends: "ok" },
  { name: "undefined variables", text: many(3000, (n) => `ENV A${n}=$B${n}`), ends: "ok" },
])("ends for a great many $name", async ({ text, ends }) => {
  expect(await outcome(`FROM rich AS s\n${text}`)).toBe(ends);
});
