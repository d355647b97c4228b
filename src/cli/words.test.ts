import { expect, test } from "vitest";
import { createProgram } from "./program.ts";
import { commandIndex, canonicalWords } from "./words.ts";
import type { Cli } from "./command.ts";
import { refuseElsewhere } from "./flags/elsewhere.ts";
import { emptyValue } from "./flags/empty-values.ts";

const CLI = {} as Cli;

/** The canonical words of one command line, which has no blanks in its words; `''` is an empty one. */
async function words(line: string): Promise<string> {
  const argv = line.split(" ").map((word) => word.replaceAll("''", ""));
  return canonicalWords(await createProgram(CLI, argv), argv, refuseElsewhere).join(" ");
}

test.each([
  { line: "build -t a .", means: "build --tag=a -- ." },
  { line: "build . -t a", means: "build --tag=a -- ." },
  { line: "build -t=a -f=Dockerfile .", means: "build --tag=a --file=Dockerfile -- ." },
  { line: "build -ta .", means: "build --tag=a -- ." },
  { line: "build -ta=b .", means: "build --tag=a=b -- ." },
  { line: "build --tag=a=b .", means: "build --tag=a=b -- ." },
  { line: "build -Dqt=a .", means: "build --tag=a --debug --quiet -- ." },
  { line: "build -qta .", means: "build --tag=a --quiet -- ." },
  { line: "build -q=false .", means: "build -- ." },
  { line: "build -q -q=0 .", means: "build -- ." },
  { line: "build --pull=false --pull .", means: "build --pull -- ." },
  { line: "build --pull=newer .", means: "build --pull-policy=newer -- ." },
  { line: "build --pull=always --pull=false .", means: "build --pull-policy=always -- ." },
  { line: "build --disable-content-trust=true .", means: "build --disable-content-trust -- ." },
  { line: "build --no-cache-filter a --no-cache .", means: "build --no-cache-filter=a --no-cache -- ." },
  { line: "build -f - .", means: "build --file=- -- ." },
  { line: "build -", means: "build -- -" },
  { line: "build -o- -", means: "build --output=- -- -" },
  { line: "build -m -1 .", means: "build --memory=-1 -- ." },
  { line: "build --label --x .", means: "build --label=--x -- ." },
  { line: "build -- -x", means: "build -- -x" },
  { line: "build --explain .", means: "build --explain= -- ." },
  { line: "build --explain json .", means: "build --explain=json -- ." },
  { line: "build --explain=text .", means: "build --explain=text -- ." },
  { line: "build --expect-cached json .", means: "build --expect-cached= -- json ." },
  { line: "build --root r .", means: "--root=r build -- ." },
  { line: "--root run images", means: "--root=run images" },
  { line: "--root=build images -q", means: "--root=build images --quiet" },
  { line: "images --root=build", means: "--root=build images" },
  { line: "images --no-trunc=false", means: "images" },
  { line: "run -it -e A=1 app build -t x", means: "run --env=A=1 --interactive --tty -- app build -t x" },
  { line: "run app -- x", means: "run -- app -- x" },
  { line: "run --rm -- app -x", means: "run --rm -- app -x" },
  { line: "run --entrypoint= app", means: "run --entrypoint= -- app" },
  { line: "run --entrypoint '' app ''", means: "run --entrypoint= -- app " },
  { line: "build --help", means: "build --help" },
  { line: "build -h", means: "build -h" },
  { line: "--help build", means: "--help build" },
  { line: "-v", means: "-v" },
  { line: "help build", means: "help build" },
  { line: "build . --tag", means: "build --tag" },
  { line: "build --bogus=1 .", means: "build --bogus=1 -- ." },
])("kiln $line", async ({ line, means }) => {
  expect(await words(line)).toBe(means);
});

test.each([
  { argv: "--root build images", index: 2 },
  { argv: "--root=x build", index: 1 },
  { argv: "images", index: 0 },
  { argv: "--root x", index: -1 },
])("the command of kiln $argv", ({ argv, index }) => {
  expect(commandIndex(argv.split(" "))).toBe(index);
});

test.each([
  { line: "build --pull=maybe .", says: "it is neither true nor false" },
  { line: "build -q=x .", says: "Cannot use -q=x: it is neither true nor false" },
  { line: "build ''", says: "please specify build context" },
  { line: "images ''", says: "an argument is empty" },
  { line: "tag a ''", says: "an argument is empty" },
  { line: "run ''", says: "an argument is empty" },
  { line: "--root '' images", says: 'Cannot use --root "": it is empty' },
  { line: "images --root=", says: 'Cannot use --root "": it is empty' },
  { line: "build --destination x .", says: "unknown option '--destination': it is another builder's" },
  { line: "build -v a:b .", says: "unknown option '-v': it is another builder's" },
])("kiln $line is refused", async ({ line, says }) => {
  await expect(words(line)).rejects.toThrow(says);
});

const COMMANDS = (await createProgram(CLI, [])).commands.map((command) => command.name());

// What docker takes for "not given" in an empty value is that here; what it refuses is refused.
const ABSENT: Readonly<Record<string, string>> = {
  build:
    "add-host allow annotation build-context builder cache-from cache-to call cgroup-parent file iidfile isolation " +
    "metadata-file network no-cache-filter output print progress provenance sbom secret security-opt shm-size ssh target",
  run: "hostname network platform user workdir shm-size",
  shell: "secret ssh",
  pull: "platform progress",
  push: "platform progress",
  save: "platform",
  import: "platform",
  inspect: "platform",
  history: "platform format",
  images: "format",
  du: "format",
};
const MEANT: Readonly<Record<string, string>> = { run: "entrypoint", import: "message" };

test.each(COMMANDS)("an empty value of a flag of kiln %s is never a path, a name or a number", async (name) => {
  const program = await createProgram(CLI, [name]);
  const command = program.commands.find((one) => one.name() === name);
  const flags = (command?.options ?? []).filter((option) => option.required).map((option) => option.long ?? "");
  const named = (text: string | undefined): string[] => (text ?? "").split(" ").filter(Boolean);
  for (const flag of flags) {
    const bare = flag.slice(2);
    const wanted = named(ABSENT[name]).includes(bare)
      ? "absent"
      : named(MEANT[name]).includes(bare)
        ? "meant"
        : "refused";
    expect([flag, emptyValue(name, flag)]).toEqual([flag, wanted]);
    const read = (): string => canonicalWords(program, [name, flag, "", "x"]).join(" ");
    if (wanted === "refused") expect(read, flag).toThrow(`Cannot use ${flag} "": it is empty`);
    else expect(read()).toBe(wanted === "absent" ? `${name} -- x` : `${name} ${flag}= -- x`);
  }
  // No name of the table is of a flag that does not exist.
  for (const bare of [...named(ABSENT[name]), ...named(MEANT[name])]) expect(flags).toContain(`--${bare}`);
});
