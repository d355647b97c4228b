import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { FLAG_VALUES, OPERANDS } from "../../src/cli/completion/flag-values.ts";
import { has, PROJECT, temporary } from "./harness.ts";

const BIN = join(PROJECT, "bin");

describe("completion in real shells", () => {
  const folder = temporary();
  writeFileSync(join(folder.path, "Dockerfile"), "FROM scratch AS base\nFROM base AS final\nRUN \\");
  const environment = {
    ...process.env,
    PATH: `${BIN}:${process.env["PATH"] ?? ""}`,
    KILN_ROOT: join(folder.path, "s"),
  };
  const shell = (program: string, ...args: readonly string[]): string =>
    spawnSync(program, args, { cwd: folder.path, env: environment, encoding: "utf8", timeout: 30_000 }).stdout;
  afterAll(() => folder[Symbol.dispose]());

  test.skipIf(!has("bash"))("bash: words with equals signs and colons are completed where readline breaks them", () => {
    const ask = (line: string, ...words: readonly string[]): string =>
      shell(
        "bash",
        "-c",
        'source <(kiln completion bash); COMP_LINE=$1 COMP_POINT=${#1}; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _kiln; printf "%s\\n" "${COMPREPLY[@]}"',
        "bash",
        line,
        ...words,
      );
    expect(ask("kiln build --target ", "kiln", "build", "--target", "")).toBe("base\nfinal\n");
    expect(ask("kiln build --target=f", "kiln", "build", "--target", "=", "f")).toBe("final\n");
    expect(ask("kiln compl", "kiln", "compl")).toBe("completion\n");
    expect(ask("kiln build --platform=linux/amd", "kiln", "build", "--platform", "=", "linux/amd")).toBe(
      "linux/amd64\n",
    );
  });

  test.skipIf(!has("fish"))("fish: candidates have their meaning", () => {
    const ask = (line: string): string =>
      shell("fish", "--no-config", "-c", `kiln completion fish | source; complete -C "${line}"`);
    expect(ask("kiln build --target ")).toBe("base\nfinal\n");
    expect(ask("kiln compl")).toMatch(/^completion\tprint the script/);
  });

  test.skipIf(!has("zsh"))("zsh: the one candidate is written", () => {
    const script = [
      "zmodload zsh/zpty; zpty z zsh -f -i",
      "zpty -w z 'PS1=; autoload -U compinit; compinit -u -D; source <(kiln completion zsh); echo re''ady'",
      "zpty -r -m z text '*ready*'; zpty -w -n z $'kiln build --target=fi\\t'",
      "zpty -r -m z text '*--target=final*' && print found; zpty -d z",
    ];
    expect(shell("zsh", "-f", "-c", script.join("\n"))).toBe("found\n");
  });

  test("an answer makes no file, and a broken line is no error", () => {
    for (const line of ["", "kiln", "kiln run ", "kiln build 'x", "kiln build -f /dev/zero --target ", "kiln \\"]) {
      const { status, stderr } = spawnSync(join(BIN, "kiln"), ["__complete", "line", line], {
        cwd: folder.path,
        env: environment,
        encoding: "utf8",
      });
      expect({ line, status, stderr }).toEqual({ line, status: 0, stderr: "" });
    }
    expect(readdirSync(folder.path)).toEqual(["Dockerfile"]);
  });
});

test("completion knows values of flags and commands that there are", () => {
  const table: unknown = JSON.parse(readFileSync(join(PROJECT, "build/commands.json"), "utf8"));
  const text = JSON.stringify(table);
  const flags = Object.keys(FLAG_VALUES).map((name) => name.split(" ").at(-1) ?? "");
  expect(flags.filter((flag) => !text.includes(`"${flag}"`))).toEqual([]);
  expect(Object.keys(OPERANDS).filter((name) => !text.includes(`"name":"${name}"`))).toEqual([]);
});
