import { expect, test } from "vitest";
import { BuildError } from "../lib/core/errors.ts";
import { SourceText } from "../lib/core/span.ts";
import type { Instruction, StageInstruction } from "./instructions/instruction.ts";
import { parseDockerfile, parseOnbuildTrigger } from "./parse.ts";

const parse = (text: string): ReturnType<typeof parseDockerfile> => parseDockerfile(new SourceText("Dockerfile", text));

/** The first instruction of a stage that holds only `text`. */
function one(text: string): StageInstruction {
  const [instruction] = parse(`FROM scratch\n${text}`).stages[0]?.instructions ?? [];
  if (instruction === undefined) throw new Error("no instruction");
  return instruction;
}

function failure(text: string): BuildError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof BuildError) return error;
    throw error;
  }
  throw new Error("no error");
}

/** All errors, as `line:column message`. */
function failures(text: string): string[] {
  const first = failure(text);
  return [first, ...first.more].map(
    ({ span, message }) => `${String(span?.start.line)}:${String(span?.start.column)} ${message}`,
  );
}

const word = (text: string): unknown => expect.objectContaining({ text });

test.each<{ text: string; is: object }>([
  { text: "RUN a  b ", is: { kind: "run", command: { form: "shell", text: "a  b" } } },
  { text: "run a", is: { kind: "run", keyword: word("run") } },
  { text: "RUN", is: { command: { form: "shell", text: "" } } },
  { text: "RUN []", is: { command: { form: "exec", argv: [] } } },
  { text: 'RUN ["a", "b c"]', is: { command: { form: "exec", argv: ["a", "b c"] } } },
  { text: "RUN ['a']", is: { command: { form: "shell", text: "['a']" } } },
  { text: 'RUN ["a",]', is: { command: { form: "shell", text: '["a",]' } } },
  { text: 'RUN ["a"] b', is: { command: { form: "shell", text: '["a"] b' } } },
  { text: 'CMD ["a", 1e999]', is: { command: { form: "shell" } } },
  { text: 'CMD ["\\u0041\\n\\ud800"]', is: { command: { form: "exec", argv: ["A\n\ufffd"] } } },
  { text: "RUN -- --x", is: { command: { text: "--x" }, flags: [] } },
  { text: "RUN --network=host a", is: { network: "host", security: "sandbox", command: { text: "a" } } },
  { text: "RUN --security=insecure a", is: { security: "insecure", network: "default" } },
  {
    text: "RUN --mount=type=cache,target=/x --mount=from=base,target=/y a",
    is: {
      mounts: [
        { text: "type=cache,target=/x", from: undefined },
        { text: "from=base,target=/y", from: "base" },
      ],
    },
  },
  { text: "RUN --mount=from=$ a", is: { mounts: [{ from: "$" }] } },
  { text: "RUN --mount=tpye=x a", is: { mounts: [{ text: "tpye=x" }] } },
  { text: "RUN --mount='type=bind,target=/a b' a", is: { mounts: [{ text: "type=bind,target=/a b" }] } },
  { text: "CMD", is: { kind: "cmd", command: { form: "shell", text: "" } } },
  { text: "ENTRYPOINT []", is: { kind: "entrypoint", command: { form: "exec", argv: [] } } },
  { text: "COPY a b /c/", is: { paths: [word("a"), word("b")], destination: word("/c/"), from: undefined } },
  { text: 'COPY ["a b", "/c"]', is: { paths: [word("a b")], destination: word("/c") } },
  { text: "COPY ['a', '/c']", is: { paths: [word("['a',")], destination: word("'/c']") } },
  { text: "COPY copying /b", is: { paths: [word("copying")] } },
  {
    text: 'COPY --from=base --chown=1:2 --chmod="6"44 --link --parents --exclude=*.a --exclude=*.b a b',
    is: {
      from: word("base"),
      chown: word("1:2"),
      chmod: word("644"),
      link: true,
      parents: true,
      excludes: [word("*.a"), word("*.b")],
    },
  },
  { text: "COPY --link=false a b", is: { link: false, parents: false } },
  { text: "COPY --link=TRUE a b", is: { link: true } },
  { text: "COPY --from= a b", is: { from: undefined } },
  { text: "COPY --chown='a b' a b", is: { chown: word("a b") } },
  { text: "COPY --chown=a\\ b a b", is: { chown: word("a b") } },
  { text: "COPY -- --from a", is: { paths: [word("--from")] } },
  { text: "ADD --checksum=sha256:x --keep-git-dir --unpack=false a b", is: { keepGitDir: true, unpack: false } },
  { text: "ADD a b", is: { kind: "add", keepGitDir: undefined, unpack: undefined, checksum: undefined } },
  { text: "ENV a=b c=d", is: { form: "pairs", pairs: [{ key: word("a"), value: word("b") }, { key: word("c") }] } },
  { text: "ENV a=", is: { pairs: [{ key: word("a"), value: word("") }] } },
  { text: "ENV a=b=c", is: { pairs: [{ key: word("a"), value: word("b=c") }] } },
  { text: "ENV a=\"b c\" d='e f'", is: { pairs: [{ value: word('"b c"') }, { value: word("'e f'") }] } },
  { text: "ENV a b  c ", is: { form: "legacy", pairs: [{ key: word("a"), value: word("b  c") }] } },
  { text: "ENV a b=c", is: { form: "legacy", pairs: [{ key: word("a"), value: word("b=c") }] } },
  { text: 'ENV "a b" c', is: { form: "legacy", pairs: [{ key: word('"a'), value: word('b" c') }] } },
  { text: 'ENV "a b"=c', is: { form: "pairs", pairs: [{ key: word('"a b"'), value: word("c") }] } },
  { text: "ENV -- --a=b", is: { pairs: [{ key: word("--a") }] } },
  { text: "ENV\va=b", is: { pairs: [{ key: word("a") }] } },
  { text: "LABEL a.b=c", is: { kind: "label", form: "pairs", pairs: [{ key: word("a.b") }] } },
  { text: "LABEL a b", is: { kind: "label", form: "legacy" } },
  {
    text: "ARG a b=1 c=",
    is: { declarations: [{ name: "a", value: undefined }, { value: word("1") }, { value: word("") }] },
  },
  { text: "ARG --anything a", is: { declarations: [{ name: "a" }] } },
  { text: "EXPOSE 90 80/udp 443", is: { ports: [word("443"), word("80/udp"), word("90")] } },
  { text: 'VOLUME /a "/b"', is: { paths: [word("/a"), word('"/b"')] } },
  { text: 'VOLUME [" /a "]', is: { paths: [word("/a")] } },
  { text: "WORKDIR /a b", is: { kind: "workdir", path: word("/a b") } },
  { text: "USER a b", is: { kind: "user", user: word("a b") } },
  { text: "STOPSIGNAL SIGTERM", is: { kind: "stopsignal", signal: word("SIGTERM") } },
  { text: "STOPSIGNAL --anything 9", is: { signal: word("9") } },
  { text: "MAINTAINER me <a@b>", is: { kind: "maintainer", name: word("me <a@b>") } },
  { text: 'SHELL ["/bin/bash", "-c"]', is: { kind: "shell", argv: ["/bin/bash", "-c"] } },
  { text: "HEALTHCHECK NONE", is: { test: { kind: "none" }, intervalNs: 0 } },
  { text: "HEALTHCHECK none []", is: { test: { kind: "none" } } },
  { text: "HEALTHCHECK --anything NONE", is: { test: { kind: "none" } } },
  { text: "HEALTHCHECK CMD a b", is: { test: { kind: "command", command: { form: "shell", text: "a b" } } } },
  { text: 'HEALTHCHECK cmd ["a"]', is: { test: { command: { form: "exec", argv: ["a"] } } } },
  {
    text: "HEALTHCHECK --interval=1m30s --timeout=.5s --start-period=0 --start-interval=1ms --retries=+3 CMD a",
    is: { intervalNs: 90e9, timeoutNs: 5e8, startPeriodNs: 0, startIntervalNs: 1e6, retries: 3 },
  },
  { text: "ONBUILD RUN  a ", is: { kind: "onbuild", trigger: "RUN  a ", triggerKeyword: word("RUN") } },
  { text: "onbuild\tADD a b", is: { trigger: "ADD a b" } },
  { text: "ONBUILD FOO a", is: { trigger: "FOO a" } },
  { text: "ONBUILD COPY a", is: { trigger: "COPY a" } },
  { text: "ONBUILD RUN <<E\n\ta\nE\n", is: { trigger: "RUN <<E\n\ta\nE" } },
  { text: "ONBUILD RUN <<-E\n\ta\n\tE\n", is: { trigger: "RUN <<-E\n\ta\nE" } },
])("reads $text", ({ text, is }) => {
  expect(one(text)).toMatchObject(is);
});

test.each<{ text: string; is: object }>([
  { text: "FROM a", is: { base: word("a"), name: undefined, platform: undefined } },
  { text: "from a as B", is: { base: word("a"), name: "b", nameWord: word("B"), as: word("as") } },
  { text: "FROM --platform=$BUILDPLATFORM a AS b.c-d_1", is: { platform: word("$BUILDPLATFORM"), name: "b.c-d_1" } },
  { text: "\u00a0FROM a", is: { base: word("a") } },
])("reads $text", ({ text, is }) => {
  expect(parse(text).stages[0]?.from).toMatchObject(is);
});

test.each([
  { text: "FROM", message: "FROM requires either one or three arguments" },
  { text: "FROM a b", message: "FROM requires either one or three arguments" },
  { text: "FROM a AS", message: "FROM requires either one or three arguments" },
  { text: "FROM a IS b", message: "FROM requires either one or three arguments" },
  { text: "FROM a AS b c", message: "FROM requires either one or three arguments" },
  {
    text: "FROM a AS 1a",
    message: `invalid name for build stage: "1a", name can't start with a number or contain symbols`,
  },
  { text: "FROM a AS a/b", message: `invalid name for build stage: "a/b"` },
  { text: "FROM --plaftorm=x a", message: 'unknown flag: --plaftorm (did you mean "platform"?)' },
  { text: "FROM --platform a", message: "missing a value on flag: --platform" },
  { text: "FROM --platform=a --platform=b c", message: "duplicate flag specified: --platform" },
  { text: "FROM\u00a0scratch", message: "unknown instruction: FROM\u00a0scratch" },
  { text: "RNU x", message: 'unknown instruction: RNU (did you mean "RUN"?)' },
  { text: "XYZZY", message: "unknown instruction: XYZZY" },
  { text: "\\\n", message: "unknown instruction: " },
  { text: "COPY", message: "COPY requires at least two arguments, but none was provided" },
  {
    text: "COPY a",
    message: "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
  },
  { text: 'ADD ["a"]', message: "ADD requires at least two arguments, but only one was provided" },
  { text: "COPY []", message: "COPY requires at least two arguments" },
  { text: "COPY --chmod='644 a b", message: "COPY requires at least two arguments" },
  { text: "COPY --link=x a b", message: "expecting boolean value for flag --link, not: x" },
  { text: "COPY --link= a b", message: "missing a value on flag: --link" },
  { text: "COPY --form=a b c", message: 'unknown flag: --form (did you mean "from"?)' },
  { text: "COPY --from=$a b c", message: "variable expansion is not supported for --from" },
  { text: "ADD --from=a b c", message: "unknown flag: --from" },
  { text: "ADD --checksum=x --checksum=y a b", message: "duplicate flag specified: --checksum" },
  { text: "COPY a <<E\nE", message: "COPY cannot accept a heredoc as a destination" },
  { text: "COPY <<E /a\n", message: "unterminated heredoc" },
  { text: "RUN --network=foo a", message: 'invalid network mode "foo"' },
  { text: "RUN --network= a", message: 'invalid network mode ""' },
  { text: "RUN --security=none a", message: 'security "none" is not valid' },
  { text: "RUN --mount a", message: "missing a value on flag: --mount" },
  { text: "RUN --mount= a", message: "failed to parse csv mounts: EOF" },
  {
    text: 'RUN --mount=\\"a b',
    message: 'failed to parse csv mounts: parse error on line 1, column 3: extraneous or missing " in quoted-field',
  },
  { text: "RUN --mount=from=$a b", message: "'from' doesn't support variable expansion, define alias stage instead" },
  { text: "CMD --x", message: "unknown flag: --x" },
  { text: 'CMD ["a", 1]', message: "when using JSON array syntax, arrays must be comprised of strings only" },
  { text: "CMD [[]]", message: "when using JSON array syntax, arrays must be comprised of strings only" },
  { text: "ENV", message: "ENV requires at least one argument" },
  { text: "ENV a", message: "ENV must have two arguments" },
  { text: "ENV =b", message: "ENV names can not be blank" },
  { text: "ENV a=b c", message: `Syntax error - can't find = in "c". Must be of the form: name=value` },
  { text: "ENV a=b --c d=e", message: `Syntax error - can't find = in "--c"` },
  { text: "ENV a=b =c", message: "ENV names can not be blank" },
  { text: "ENV --a=b d=e", message: "unknown flag: --a" },
  { text: "LABEL", message: "LABEL requires at least one argument" },
  { text: "LABEL a", message: "LABEL must have two arguments" },
  { text: "LABEL =b", message: "LABEL names can not be blank" },
  { text: "ARG", message: "ARG requires at least one argument" },
  { text: "ARG =b", message: "ARG names can not be blank" },
  { text: "ARG a = b", message: "ARG names can not be blank" },
  { text: "ARG a =b", message: "ARG names can not be blank" },
  { text: "ENV a=b c =d", message: `Syntax error - can't find = in "c"` },
  { text: "EXPOSE", message: "EXPOSE requires at least one argument" },
  { text: "VOLUME", message: "VOLUME requires at least one argument" },
  { text: "VOLUME []", message: "VOLUME requires at least one argument" },
  { text: 'VOLUME [" "]', message: "VOLUME specified can not be an empty string" },
  { text: "WORKDIR", message: "WORKDIR requires exactly one argument" },
  { text: "USER", message: "USER requires exactly one argument" },
  { text: "STOPSIGNAL", message: "STOPSIGNAL requires exactly one argument" },
  { text: "MAINTAINER", message: "MAINTAINER requires exactly one argument" },
  { text: "MAINTAINER --x y", message: "unknown flag: --x" },
  { text: "SHELL", message: "SHELL requires at least one argument" },
  { text: "SHELL []", message: "SHELL requires at least one argument" },
  { text: "SHELL /bin/sh -c", message: "SHELL requires the arguments to be in JSON form" },
  { text: "HEALTHCHECK", message: "HEALTHCHECK requires at least one argument" },
  { text: "HEALTHCHECK NONE x", message: "HEALTHCHECK NONE takes no arguments" },
  { text: "HEALTHCHECK FOO x", message: 'Unknown type "FOO" in HEALTHCHECK (try CMD)' },
  { text: "HEALTHCHECK CMD", message: "Missing command after HEALTHCHECK CMD" },
  { text: "HEALTHCHECK CMD []", message: "Missing command after HEALTHCHECK CMD" },
  { text: "HEALTHCHECK --interval=1us CMD x", message: 'Interval "interval" cannot be less than 1ms' },
  { text: "HEALTHCHECK --timeout=-1s CMD x", message: 'Interval "timeout" cannot be less than 1ms' },
  { text: "HEALTHCHECK --interval=1x CMD x", message: 'time: unknown unit "x" in duration "1x"' },
  { text: "HEALTHCHECK --interval=5 CMD x", message: 'time: missing unit in duration "5"' },
  { text: "HEALTHCHECK --interval=. CMD x", message: 'time: invalid duration "."' },
  { text: "HEALTHCHECK --retries=x CMD x", message: '--retries takes a whole number, not "x"' },
  { text: "HEALTHCHECK --retries=-1 CMD x", message: "--retries cannot be negative (-1)" },
  { text: "HEALTHCHECK --retries=99999999999 CMD x", message: "--retries is out of range" },
  { text: "ONBUILD", message: "ONBUILD requires at least one argument" },
  { text: "ONBUILD onbuild RUN a", message: "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed" },
  { text: "ONBUILD from a", message: "FROM isn't allowed as an ONBUILD trigger" },
  { text: "ONBUILD MAINTAINER a", message: "MAINTAINER isn't allowed as an ONBUILD trigger" },
  { text: "ONBUILD --x=y RUN a", message: "unknown flag: --x" },
  { text: "ONBUILD ENV a", message: "ENV must have two arguments" },
  { text: "ONBUILD CMD [1]", message: "arrays must be comprised of strings only" },
  { text: "ONBUILD CMD <<E\necho\nE", message: "unknown instruction: echo" },
])("refuses $text", ({ text, message }) => {
  expect(failure(`FROM scratch\n${text}`).message).toContain(message);
});

test.each([
  { name: "nothing at all", text: "", message: "the Dockerfile cannot be empty" },
  { name: "blank lines", text: "\n \n", message: "file with no instructions" },
  { name: "comments", text: "# x\n", message: "file with no instructions" },
  { name: "no FROM", text: "ARG x\n", message: "dockerfile contains no stages to build" },
  { name: "an instruction before FROM", text: "RUN x\nFROM a\n", message: "no build stage in current context" },
])("refuses a file with $name", ({ text, message }) => {
  expect(failure(text).message).toBe(message);
});

test("reports every error of a file at its place, in one pass", () => {
  const text = `# escape=x
FROM scratch AS 1
RNU a
COPY --form=x a \\
  # why not
  b
RUN <<EOF
COPY is no instruction here
EOF
ENV a=b \\

    c
EXPOSE
`;
  expect(failures(text)).toEqual([
    "1:10 invalid escape token 'x' does not match ` or \\",
    `2:17 invalid name for build stage: "1", name can't start with a number or contain symbols`,
    '3:1 unknown instruction: RNU (did you mean "RUN"?)',
    '4:6 unknown flag: --form (did you mean "from"?)',
    `12:5 Syntax error - can't find = in "c". Must be of the form: name=value`,
    "13:1 EXPOSE requires at least one argument",
  ]);
});

test("every error has a hint", () => {
  const { more, hint } = failure("FROM\nRNU\nCOPY a\nENV a\nCMD [1]\nHEALTHCHECK x\nSHELL x\nCOPY --x a b\n");
  for (const text of [hint, ...more.map((error) => error.hint)]) expect(text).toBeTruthy();
});

test("stops after a hundred errors, and says so", () => {
  const { more } = failure(`FROM a\n${"FOO\n".repeat(500)}`);
  expect(more).toHaveLength(100);
  expect(more.at(-1)?.message).toBe("too many errors: the rest of the file was not read");
});

test("a span reaches from the keyword to the end of the last line", () => {
  const text = "FROM a\n  RUN a \\\n\n  # no\n  b\t\nCOPY <<E /\nx\nE\nCMD z\n";
  const spans = parse(text).stages[0]?.instructions.map(({ span }) => text.slice(span.start.offset, span.end.offset));
  expect(spans).toEqual(["RUN a \\\n\n  # no\n  b\t", "COPY <<E /\nx\nE", "CMD z"]);
});

test("a word's span is exact behind continuations", () => {
  const text = "FROM a\nCOPY on\\\ne \\\n # x\n two /d\n";
  const [copy] = parse(text).stages[0]?.instructions ?? [];
  if (copy?.kind !== "copy") throw new Error("not a COPY");
  const words = [...copy.paths, copy.destination];
  expect(words.map((path) => path.text)).toEqual(["one", "two", "/d"]);
  expect(words.map(({ span }) => text.slice(span.start.offset, span.end.offset))).toEqual(["on\\\ne", "two", "/d"]);
  expect(copy.original).toBe("COPY one  two /d");
});

test("splits stages, keeps global ARGs apart", () => {
  const file = parse("ARG a=1\nFROM x AS One\nARG b\nRUN c\nFROM one\nCMD d\n");
  expect(file.globalArgs.map((arg) => arg.declarations[0]?.name)).toEqual(["a"]);
  expect(file.stages).toMatchObject([
    { index: 0, name: "one", instructions: [{ kind: "arg" }, { kind: "run" }] },
    { index: 1, name: undefined, instructions: [{ kind: "cmd" }] },
  ]);
});

test("comments above describe stages and ARGs", () => {
  const file = parse(
    "# a is the first\n# check=skip=X\nARG a\n# gone\n#\n# s builds it\n\nFROM x AS s\n# check = skip=all\nRUN y\n",
  );
  expect(file.globalArgs[0]).toMatchObject({ check: "skip=X", declarations: [{ description: "is the first" }] });
  expect(file.stages[0]?.from).toMatchObject({ description: "builds it", comments: [{ text: "s builds it" }] });
  expect(file.stages[0]?.instructions[0]).toMatchObject({ check: "skip=all" });
});

test("remembers blank lines inside an instruction", () => {
  const { emptyContinuations } = parse("FROM a\nRUN x \\\n\n  \\\n\n  y\nRUN z\n");
  expect(emptyContinuations).toMatchObject([{ endLine: 6 }]);
  expect(emptyContinuations[0]?.lines.map((line) => line.start.line)).toEqual([3, 5]);
});

test("an ONBUILD trigger is read like a file of one instruction", () => {
  const trigger = (text: string): Instruction => parseOnbuildTrigger(new SourceText("ONBUILD of base", text));
  expect(trigger("COPY <<E /x\na $b\nE")).toMatchObject({ kind: "copy", contents: [{ name: "E", text: "a $b\n" }] });
  expect(() => trigger("RUN a\nRUN b")).toThrow("onbuild trigger should be a single expression");
  expect(() => trigger("FROM a")).toThrow("FROM isn't allowed as an ONBUILD trigger");
  expect(() => trigger("FOO a")).toThrow("unknown instruction: FOO");
  expect(() => trigger("")).toThrow("onbuild trigger should be a single expression");
});

test.each(["", "\n\n", "# only a comment\n# and another\n", "ARG a\nARG b\n"])(
  "a file without stages, %j, is wrong from its first line on",
  (text) => {
    expect(failure(text).span?.start.line).toBe(1);
  },
);

test.each([
  { text: "ENV\u00a0A=1", hint: /holds U\+00A0/ },
  { text: "\ufeffENV A=1", hint: /holds U\+FEFF/ },
  { text: "RU\u200bN x", hint: /holds U\+200B/ },
  { text: "\u001bRUN x", hint: /holds U\+001B/ },
  { text: "RÜN x", hint: /^instructions are/ },
])("what cannot be seen in an unknown instruction is named: $text", ({ text, hint }) => {
  expect(failure(`FROM scratch\n${text}\n`).hint).toMatch(hint);
});
